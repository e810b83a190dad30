"""The legacy dump: read what Detectron2 wrote, write what it reads, execute nothing."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from hashing import GOLDEN
from iuv.results import CONFIDENCE_FIELDS, People
from iuv.writers import ResultFileError, read_dump, write_dump
from sample_people import sample_people

FORMATS = GOLDEN / "formats"


def size_of(name: str) -> tuple[int, int]:
    return {"person_small.png": (176, 208)}[name]


@pytest.mark.parametrize("name", ["results", "results_with_confidences"])
def test_what_detectron2_wrote_is_read(name: str) -> None:
    ((file_name, people),) = read_dump(FORMATS / f"{name}.pkl", image_size=size_of)
    assert file_name == "person_small.png"
    assert people.image_size == (176, 208)
    with np.load(FORMATS / f"{name}.npz") as z:
        assert np.array_equal(people.scores, z["scores"])
        assert np.array_equal(people.boxes_xyxy, z["pred_boxes_XYXY"])
        for k, person in enumerate(people):
            assert np.array_equal(person.labels, z[f"det{k}_labels"])
            assert np.array_equal(person.uv, z[f"det{k}_uv"])
            expected = CONFIDENCE_FIELDS if "confidences" in name else ()
            assert tuple(person.confidences()) == expected
            for field, values in person.confidences().items():
                assert np.array_equal(values, z[f"det{k}_{field}"])


@pytest.mark.usefixtures("fake_densepose")
@pytest.mark.parametrize("name", ["results", "results_with_confidences"])
def test_detectron2_users_read_the_same_as_from_the_original(tmp_path: Path, name: str) -> None:
    write_dump(tmp_path / "x.pkl", read_dump(FORMATS / f"{name}.pkl", image_size=size_of))
    (ours,), (theirs,) = (
        torch.load(path, weights_only=False)
        for path in (tmp_path / "x.pkl", FORMATS / f"{name}.pkl")
    )
    assert list(ours) == list(theirs)
    assert ours["file_name"] == theirs["file_name"]
    for key in ("scores", "pred_boxes_XYXY"):
        assert torch.equal(ours[key], theirs[key])
    for a, b in zip(ours["pred_densepose"], theirs["pred_densepose"], strict=True):
        assert type(a) is type(b)
        assert list(vars(a)) == list(vars(b))
        for field, value in vars(b).items():
            if value is None:
                assert getattr(a, field) is None
            else:
                assert getattr(a, field).dtype == value.dtype
                assert torch.equal(getattr(a, field), value)
    assert ours["pred_densepose"][0].labels.dtype == torch.int64


def test_tensors_of_another_machine_s_gpu_are_read(tmp_path: Path) -> None:
    write_dump(tmp_path / "x.pkl", [("a.jpg", sample_people())])
    rewrite(tmp_path / "x.pkl", lambda data: data.replace(b"\3\0\0\0cpu", b"\6\0\0\0cuda:7"))
    assert b"cuda:7" in (tmp_path / "x.pkl").read_bytes()
    ((_, people),) = read_dump(tmp_path / "x.pkl")
    assert np.array_equal(people.iuv(), sample_people().iuv())


def test_threads_may_read_at_once() -> None:
    allowed = torch.serialization.get_safe_globals()
    with ThreadPoolExecutor(4) as pool:
        dumps = pool.map(
            lambda path: read_dump(path, image_size=size_of), [FORMATS / "results.pkl"] * 40
        )
        assert {len(dump) for dump in dumps} == {1}
    assert torch.serialization.get_safe_globals() == allowed


@pytest.mark.usefixtures("fake_densepose")
def test_an_image_with_nobody_has_no_results(tmp_path: Path) -> None:
    write_dump(tmp_path / "x.pkl", [("a.jpg", People((30, 40)))])
    (image,) = torch.load(tmp_path / "x.pkl", weights_only=False)
    assert list(image) == ["file_name", "scores", "pred_boxes_XYXY"]
    assert image["scores"].shape == (0,)
    assert image["pred_boxes_XYXY"].shape == (0, 4)


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    entries = [("a/ü.jpg", sample_people("outside")), ("b.jpg", People((30, 40)))]
    write_dump(tmp_path / "x.pkl", entries)
    again = read_dump(tmp_path / "x.pkl")
    assert [name for name, _ in again] == ["a/ü.jpg", "b.jpg"]
    for (_, a), (_, b) in zip(again, entries, strict=True):
        assert a.image_size == b.image_size
        assert np.array_equal(a.boxes_xyxy, b.boxes_xyxy)
        assert np.array_equal(a.scores, b.scores)
        assert [p.box_xywh for p in a] == [p.box_xywh for p in b]
        assert all(np.array_equal(p.uv, q.uv) for p, q in zip(a, b, strict=True))
        assert all(np.array_equal(p.labels, q.labels) for p, q in zip(a, b, strict=True))


def test_results_are_taken_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    sizes: list[int] = []

    def results() -> Iterator[tuple[str, People]]:
        for k in range(3):
            (partial,) = tmp_path.glob(".*")
            sizes.append(partial.stat().st_size)
            yield f"{k}.jpg", sample_people()

    write_dump(path, results())
    assert sizes[0] < sizes[1] < sizes[2]
    assert len(read_dump(path)) == 3


def test_dumps_of_single_images_join(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.pkl" for k in range(2)]
    for path in paths:
        write_dump(path, [(path.name, sample_people())])
    write_dump(tmp_path / "all.pkl", chain.from_iterable(map(read_dump, paths)))
    assert [name for name, _ in read_dump(tmp_path / "all.pkl")] == ["0.pkl", "1.pkl"]


def test_a_dump_of_detectron2_needs_the_sizes_of_the_images() -> None:
    with pytest.raises(
        ResultFileError, match=r"results\.pkl: .*written by Detectron2.*image_size="
    ):
        read_dump(FORMATS / "results.pkl")


# ---- hostile and damaged files


class Call:
    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the pickle inside a dump."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["archive/data.pkl"] = change(members["archive/data.pkl"])
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def archive(path: Path, data: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/data/0", bytes(16))
        file.writestr("archive/version", "3")
    return path


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuK%ctQK%c(K%cK\x02t(K\x02K\x01t\x89ccollections\nOrderedDict\n)RtR"
)


def hostile_pickles() -> dict[str, tuple[bytes, str]]:
    return {
        "system": (pickle.dumps([Call(os.system, "exit 1")], 2), r"(posix|nt)\.system.*executed"),
        "eval": (pickle.dumps([Call(eval, "1")], 2), r"__builtin__\.eval"),
        "stack_global": (pickle.dumps([Call(eval, "1")], 4), "protocol 4, but torch writes 2"),
        "nested": (b"\x80\x02cos\npath.join\n.", r"os\.path\.join"),
        "other torch": (b"\x80\x02ctorch.hub\nload\n.", r"torch\.hub\.load"),
        "cse": (
            b"\x80\x02cdensepose.structures.cse\nDensePoseEmbeddingPredictorOutput\n)\x81.",
            r"cse\.DensePoseEmbeddingPredictorOutput.*only chart results",
        ),
        "endless memory": (pickle.dumps([Call(bytearray, 10**15)], 2), r"__builtin__\.bytearray"),
        "instance": (b"\x80\x02(ios\nsystem\n.", r"os\.system"),
        "stacked name": (b"\x80\x02X\2\0\0\0osX\6\0\0\0system\x93.", "asks for more than data"),
        "extension": (b"\x80\x02\x82\x01.", "asks for more than data"),
        "call a class": (b"\x80\x02ctorch\nFloatStorage\n)R.", "not callable"),
        "make a function": (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)\x81.",
            "__new__",
        ),
        "build on a name": (
            b"\x80\x02ccollections\nOrderedDict\n}b.",
            "asks for more than data",
        ),
        "underflow": (b"\x80\x02e.", "pickle is damaged"),
        "empty": (b"\x80\x02.", "pickle is damaged"),
        "recall": (b"\x80\x02h\x05.", "pickle is damaged"),
        "cut": (b"\x80\x02]q", ""),
        "deep key": (b"\x80\x02}(" + b")" + b"\x85" * 2_000_000 + b"Nu.", "nests tuples"),
        "deep by memo": (b"\x80\x02})q\0" + b"h\0\x85q\0" * 10_000 + b"Nu.", "nests tuples"),
        "not a list": (b"\x80\x02}.", "else than a list of dicts"),
        "no images": (b"\x80\x02]Na.", "else than a list of dicts"),
        "memo bomb": (b"\x80\x02}r\xff\xff\xff\x7f.", "else than a list of dicts"),
        "beyond storage": (image(TENSOR % (4, 1, 2)), "not resizable"),
        "larger than its storage": (image(TENSOR % (4, 0, 99)), "not resizable"),
        "beyond the file": (image(TENSOR % (255, 0, 99)), "not resizable"),
        "negative offset": (image(TENSOR % (4, 0, 2)).replace(b"QK\0", b"QJ\xff\xff\xff\xff"), ""),
        "negative": (
            image((TENSOR % (4, 0, 2)).replace(b"K\x02t\x28", b"J\xff\xff\xff\xfft(")),
            "overflow|negative",
        ),
        "one number for all": (
            image((TENSOR % (4, 0, 255)).replace(b"(K\x02K\x01t", b"(K\0K\0t")),
            "has them repeat their numbers",
        ),
    }


def image(tensor: bytes) -> bytes:
    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    return (
        b"\x80\x02]}(" + text("file_name") + text("person_small.png") + text("scores") + tensor
        + text("pred_boxes_XYXY") + tensor + text("pred_densepose") + b"]}aua."
    )  # fmt: skip


@pytest.mark.parametrize("name", hostile_pickles())
def test_hostile_and_damaged_dumps_are_refused(tmp_path: Path, name: str) -> None:
    data, message = hostile_pickles()[name]
    path = archive(tmp_path / "bad.pkl", data)
    with pytest.raises(ResultFileError, match=rf"(?s)bad\.pkl: not a dump of results.*{message}"):
        read_dump(path, image_size=size_of)


def test_nothing_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = archive(tmp_path / "bad.pkl", pickle.dumps([Call(os.mkdir, str(marker))], 2))
    with pytest.raises(ResultFileError, match=r"(posix|nt)\.mkdir.*Nothing was executed"):
        read_dump(path)
    assert not marker.exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("second", ["archive/data.pkl", "archive/DATA.pkl", "b/data.pkl"])
@pytest.mark.filterwarnings("ignore:Duplicate name")  # the very thing
def test_a_second_pickle_is_checked_as_well(tmp_path: Path, second: str) -> None:
    good, bad = pickle.dumps([], 2), hostile_pickles()["system"][0]
    for first, last in ((good, bad), (bad, good)):
        path = archive(tmp_path / "bad.pkl", first)
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(second, last)
        with pytest.raises(ResultFileError, match=r"\.system"):
            read_dump(path)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "bad.pkl", pickle.dumps([], 2))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data/1", bytes(10_000))
        file.filelist += [file.getinfo("archive/data/1")] * 1000
    with zipfile.ZipFile(path) as file:
        assert len(file.infolist()) > 1000
    with pytest.raises(ResultFileError, match="compressed or overlap"):
        read_dump(path)


def test_damage_inside_a_tensor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    write_dump(path, [("a.jpg", sample_people())])
    row = sample_people()[0].uv[0, 40].tobytes()
    path.write_bytes(path.read_bytes().replace(row, bytes(byte ^ 1 for byte in row)))
    with pytest.raises(ResultFileError, match=r"member 'archive/data/\d+' is damaged"):
        read_dump(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "bad.pkl", b"\x80\x02]" + bytes(10**7), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(ResultFileError, match="compressed or overlap"):
        read_dump(path)


def test_naming_a_result_a_million_times_is_refused(tmp_path: Path) -> None:
    write_dump(tmp_path / "x.pkl", [("person_small.png", sample_people())])
    rewrite(tmp_path / "x.pkl", lambda data: data[:-2] + b"q\0" + b"h\0" * 10_000 + b"e.")
    with pytest.raises(ResultFileError, match="uses its tensors too often"):
        read_dump(tmp_path / "x.pkl", image_size=size_of)


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps([])])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    with pytest.raises(ResultFileError, match=r"bad\.pkl: not a dump .* in torch's zip format"):
        read_dump(path)


def test_torch_s_old_format_is_refused(tmp_path: Path) -> None:
    torch.save([], tmp_path / "x.pkl", _use_new_zipfile_serialization=False)
    with pytest.raises(ResultFileError, match=r"torch's zip format: File is not a zip file"):
        read_dump(tmp_path / "x.pkl")


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(ResultFileError, match=r"x\.npz: not a dump.*no data\.pkl"):
        read_dump(tmp_path / "x.npz")


def test_labels_beyond_24_are_refused(tmp_path: Path) -> None:
    people = sample_people()[:1]
    people[0].labels[0, 0] = 25
    write_dump(tmp_path / "bad.pkl", [("a.jpg", people)])
    with pytest.raises(ResultFileError, match=r"labels must be int64 and lie in 0\.\.24"):
        read_dump(tmp_path / "bad.pkl")
