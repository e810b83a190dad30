"""A predictor, or results from files, scored in one process and in several."""

from __future__ import annotations

from pathlib import Path

import pytest

import golden_evaluation as golden
from iuv.data.records import Annotation, DataError, Dataset, ImageRecord
from iuv.evaluation.evaluate import evaluate, evaluate_results, share
from iuv.processes import ALONE
from iuv.results import People
from sample_people import make_person


class OneOf:
    """Plays one of several processes: the others' values are there already."""

    def __init__(self, rank, size, values):
        self.rank, self.size, self.values = rank, size, values

    def gather(self, value):
        self.values[self.rank] = value
        return self.values


def in_processes(size, score):
    """What the last of several processes says, as it alone sees all values."""
    values = [{} for _ in range(size)]
    return [score(OneOf(rank, size, values)) for rank in range(size)][-1]


@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools on numpy 2
@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_several_processes_get_the_scores_of_one(size):
    """Also where there are more processes than images."""
    given, gt, surface, seen = golden.detections(), golden.main_dataset(), golden.surface(), []

    def score(processes):
        return evaluate_results(
            given,
            gt,
            surface,
            processes=processes,
            on_image=lambda record: seen.append(record.id),
        )

    found = in_processes(size, score)
    assert found == evaluate_results(given, gt, surface)
    assert seen == [record.id for record in gt.images]
    expected = golden.results()["results"]
    for task, metrics in {**expected["min_0.5"], "bbox": expected["box"]}.items():
        assert found[task] == pytest.approx(metrics, abs=1e-6)


@pytest.mark.parametrize(("count", "size"), [(10, 1), (10, 3), (3, 7), (0, 2)])
def test_shares(count, size):
    images = tuple(ImageRecord(id=k, path=Path("x"), height=1, width=1) for k in range(count))
    shares = [share(images, OneOf(rank, size, [])) for rank in range(size)]
    assert [image for part in shares for image in part] == list(images)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share(images, ALONE) == images


@pytest.fixture
def pair():
    person = Annotation(id=1, category=0, box_xywh=(1, 2, 30, 20), area=600)
    images = (
        ImageRecord(id=4, path=Path("a.jpg"), height=60, width=80, annotations=(person,)),
        ImageRecord(id=9, path=Path("b.jpg"), height=50, width=70),
    )
    return Dataset(
        name="pair",
        images=images,
        classes=("person",),
        class_of_category={1: 0},
        source=Path("pair.json"),
    )


def find(paths):
    """Exactly the person that is there, and nobody in the other image."""
    for path in paths:
        if path.name == "a.jpg":
            yield People((60, 80), (make_person((1, 2, 30, 20), image_size=(60, 80)),))
        else:
            yield People((50, 70))


def test_a_predictor(pair):
    seen = []
    scores = evaluate(
        find,
        pair,
        None,
        tasks=["bbox"],
        on_image=lambda record, people: seen.append((record.id, len(people))),
    )
    assert scores["bbox"]["AP"] == pytest.approx(100)
    assert seen == [(4, 1), (9, 0)]

    def score(processes):
        return evaluate(find, pair, None, tasks=["bbox"], processes=processes)

    assert in_processes(2, score)["bbox"]["AP"] == pytest.approx(100)


def test_images_of_another_size(pair):
    def predict(paths):
        return (People((80, 60)) for _ in paths)

    message = r"a\.jpg: expected an image of 80 x 60 pixels, as pair\.json says, got 60 x 80"
    with pytest.raises(DataError, match=message):
        evaluate(predict, pair, None, tasks=["bbox"])
