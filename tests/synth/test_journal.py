"""Records survive whatever stops a run."""

from __future__ import annotations

import json

import pytest

from iuv.synth.journal import Journal, Record


def record(index: int, people: int = 2, **changes: object) -> Record:
    image = {"id": index, "file_name": f"{index}.jpg"} | changes
    annotations = [{"id": 10 * index + n + 1, "image_id": index} for n in range(people)]
    return Record(index, json.dumps(image), tuple(map(json.dumps, annotations)))


def published(journal: Journal, path) -> dict:
    journal.publish(path, {"info": {"seed": 1}})
    return json.loads(path.read_text())


def test_records_are_published_in_order(tmp_path):
    with Journal(tmp_path / "part") as journal:
        for index, people in ((2, 1), (0, 2), (1, 0)):
            journal.add(record(index, people))
        document = published(journal, tmp_path / "a.json")
    assert document["info"] == {"seed": 1}
    assert [image["id"] for image in document["images"]] == [0, 1, 2]
    assert [person["id"] for person in document["annotations"]] == [1, 2, 21]


def test_nothing_is_published_as_empty_lists(tmp_path):
    with Journal(tmp_path / "part") as journal:
        document = published(journal, tmp_path / "a.json")
    assert document["images"] == document["annotations"] == []


def test_a_killed_run_goes_on(tmp_path):
    path = tmp_path / "part"
    with Journal(path) as journal:
        journal.add(record(0))
        journal.add(record(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])  # killed while writing
    with Journal(path) as journal:
        assert list(journal.places) == [0]
        journal.add(record(1))
        assert path.read_bytes() == whole


def test_the_last_of_several_records_counts(tmp_path):
    with Journal(tmp_path / "part") as journal:
        journal.add(record(0, file_name="old.jpg"))
        journal.add(record(0, file_name="new.jpg"))
        document = published(journal, tmp_path / "a.json")
    assert [image["file_name"] for image in document["images"]] == ["new.jpg"]


def test_published_records_are_taken_over(tmp_path):
    annotations = tmp_path / "a.json"
    with Journal(tmp_path / "part") as journal:
        for index in range(4):
            journal.add(record(index, people=(2, 0, 1, 0)[index]))
        document = published(journal, annotations)
        journal.remove()
    assert not (tmp_path / "part").exists()
    with Journal(tmp_path / "part") as journal:
        journal.add(record(2, people=3))  # made again since
        journal.read_published(annotations)
        assert sorted(journal.places) == [0, 1, 2, 3]
        again = published(journal, annotations)
    assert again["images"] == document["images"]
    assert [person["id"] for person in again["annotations"]] == [1, 2, 21, 22, 23]


def test_damaged_records_are_not_taken_over(tmp_path):
    """Their pictures are made again: it is not known who else was in them."""
    annotations, part = tmp_path / "a.json", tmp_path / "part"
    with Journal(part) as journal:
        for index in range(4):
            journal.add(record(index))
        published(journal, annotations)
        journal.remove()
    whole = annotations.read_bytes()
    line = whole.index(b'{"id": 21')
    for damaged, left in (
        (whole.replace(b"\n", b"\r\n"), [0, 1, 2, 3]),  # git, or an editor on Windows
        (whole[: len(whole) // 2], []),
        (whole[:line], []),  # exactly at the end of a line
        (whole.replace(b'{"id": 21', b'{"id": 21x'), [0, 1, 3]),
        (whole.replace(b'{"id": 21', b'{"image_id": 2, "id": 21'), []),  # by another program
        (whole.replace(b'{"id": 2,', b'{"id": "x",'), [0, 1, 3]),
        (whole.replace(b'{"id": 2,', b'{"id": 2000000,'), [0, 1, 3]),
    ):
        annotations.write_bytes(damaged)
        with Journal(part) as journal:
            journal.read_published(annotations)
            assert sorted(journal.places) == left
            assert published(journal, tmp_path / "b.json")["images"] == [
                json.loads(record(index).image) for index in left
            ]
            journal.remove()


@pytest.mark.parametrize(
    "line",
    [b"\x97\xf2)K", b'{"id": 0, "file_na', b'{"id": -1, "file_name": "a"}', b"[]", b"0",
     b'{"id": 99999999999, "file_name": "a"}', b'{"id": 11, "image_id": 1}',
     b'{"id": 1, "file_name": "a"}\t{"id": 11, "image_id": 2}'],
)  # fmt: skip
def test_damaged_records_are_cut_off(tmp_path, line):
    path = tmp_path / "part"
    with Journal(path) as journal:
        journal.add(record(0))
        whole = path.read_bytes()
        journal.add(record(1))
    path.write_bytes(whole + line + b"\n" + path.read_bytes()[len(whole) :])
    with Journal(path) as journal:
        assert list(journal.places) == [0]
    assert path.read_bytes() == whole


def test_without_published_records(tmp_path):
    with Journal(tmp_path / "part") as journal:
        journal.read_published(tmp_path / "none.json")
        assert not journal.places
