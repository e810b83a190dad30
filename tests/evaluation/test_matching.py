"""Golden matches; the same rules, written down one detection at a time, on random numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from golden_evaluation import FOLDER, main_evaluator, positions, results, two_class_evaluator
from iuv.evaluation.matching import Candidates, match_all
from iuv.evaluation.metrics import AREA_RANGES, get_thresholds
from iuv.evaluation.scoring import match_groups

THRESHOLDS = get_thresholds(0.5)


def golden_matches():
    return json.loads((FOLDER / "matches.json").read_text())


def ids(matches, s, a, one, file):
    """Matches of one similarity and range, as the reference numbers them."""
    people = np.array([one.record.annotations[i].id for i in one.group.people] or [0])
    own = positions(file).get(one.record.id, np.zeros(0, int))[one.group.detections] + 1
    person = matches.person[s, a]  # [T, D]
    found = np.zeros((len(person), len(one.group.people)), int)
    for t, d in zip(*np.nonzero(person >= 0), strict=True):
        found[t, person[t, d]] = own[d]
    order = np.argsort(matches.person_ignored[a], kind="stable")
    return {
        "dt_ids": own.tolist(),
        "gt_ids": people[order].tolist() if len(order) else [],
        "dt_matches": np.where(person >= 0, people[person], 0).tolist(),
        "gt_matches": found[:, order].tolist(),
        "gt_ignore": matches.person_ignored[a][order].astype(int).tolist(),
        "dt_ignore": matches.ignored[s, a].astype(int).tolist(),
    }


@pytest.mark.parametrize(("s", "name"), [(0, "gps"), (1, "gpsm"), (2, "iou")])
def test_main_set(s, name):
    golden = golden_matches()[f"min_0.5/{name}"]
    assert check(main_evaluator(), s, golden, "detections") == len(golden)


def test_two_classes():
    golden = results("classes_results")["matches_gps"]
    assert check(two_class_evaluator(), 0, golden, "classes_detections") == len(golden)


def check(evaluator, s, golden, file):
    compared, count = evaluator.compared(), 0
    for one, matches in zip(compared, match_groups(compared, THRESHOLDS), strict=True):
        for a, area in enumerate(AREA_RANGES):
            key = f"{one.record.id}/{one.group.category}/{area}"
            if key in golden:
                assert ids(matches, s, a, one, file) == golden[key], key
                count += 1
    return count


def match_one_by_one(similarity, box_iou, detection_areas, person_areas, ignored, crowd, area):
    """The rules as in a book, for one image, similarity and range of size."""
    least, most = area
    ignored = ignored | (person_areas < least) | (person_areas > most)
    order = sorted(range(len(ignored)), key=lambda g: ignored[g])
    D = len(detection_areas)
    person = np.full((len(THRESHOLDS), D), -1)
    skipped = np.full((len(THRESHOLDS), D), box_iou is not None and bool(ignored.all()))
    for t, threshold in enumerate(THRESHOLDS):
        taken = set()
        for d in range(D):
            best, chosen = min(threshold, 1 - 1e-10), None
            for g in order:
                if g in taken and not crowd[g]:
                    continue
                if chosen is not None and not ignored[chosen] and ignored[g]:
                    break
                if similarity[d, g] < best or similarity[d, g] == 0:
                    continue
                best, chosen = similarity[d, g], g
            if chosen is not None:
                person[t, d], skipped[t, d] = chosen, ignored[chosen]
                taken.add(chosen)
    for d in range(D if box_iou is not None else 0):
        if person[-1, d] >= 0:
            continue
        best, chosen = 0.8, None
        for g in order:
            if (g not in taken or crowd[g]) and box_iou[d, g] >= best:
                best, chosen = box_iou[d, g], g
        if chosen is not None:
            skipped[:, d] = ignored[chosen]
            if ignored[chosen]:
                person[-1, d] = chosen
                taken.add(chosen)
    out = (detection_areas < least) | (detection_areas > most)
    return person, skipped | ((person < 0) & out)


@pytest.mark.parametrize("plain", [False, True], ids=["Detectron2", "COCO"])
def test_against_one_by_one(plain, monkeypatch):
    """Any numbers of detections and people; few different values, so that there are ties."""
    monkeypatch.setattr("iuv.evaluation.matching._AT_ONCE", 7)
    rng = np.random.default_rng(0)
    values = [0, 0.3, 0.5, 0.52, 0.8, 0.85, 0.9, 0.95, 1]
    areas = np.array([500.0, 1024, 5000, 9216, 20000, 2e10])
    shapes = [(1, 1), (4, 3), (3, 6), (20, 2), (0, 3), (3, 0), (0, 0)]
    candidates = [
        Candidates(
            similarity=rng.choice(values, (2, D, G)),
            box_iou=None if plain else rng.choice(values, (D, G)),
            detection_areas=rng.choice(areas, D),
            person_areas=rng.choice(areas, G),
            ignored=rng.random(G) < 0.3,
            crowd=rng.random(G) < 0.2,
        )
        for _ in range(60)
        for D, G in shapes
    ]
    ranges = list(AREA_RANGES.values())
    for one, matches in zip(candidates, match_all(candidates, ranges, THRESHOLDS), strict=True):
        for s, similarity in enumerate(one.similarity):
            for a, area in enumerate(ranges):
                person, ignored = match_one_by_one(similarity, *one[1:], area)
                np.testing.assert_array_equal(matches.person[s, a], person)
                np.testing.assert_array_equal(matches.ignored[s, a], ignored)
