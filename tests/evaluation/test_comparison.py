"""Golden similarities of every detection and person; who counts where regions are ignored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from golden_evaluation import (
    detections,
    main_dataset,
    main_evaluator,
    positions,
    results,
    surface,
    two_class_evaluator,
)
from iuv.evaluation.comparison import Comparison
from iuv.evaluation.detections import Detections

SETS = {
    "results": (main_evaluator, "detections"),
    "classes_results": (two_class_evaluator, "classes_detections"),
}


@pytest.mark.parametrize("name", SETS)
def test_similarities(name):
    evaluator, file = SETS[name]
    golden, seen = results(name)["similarity"], set()
    for record, _, group in evaluator().compared():
        key = f"{record.id}/{group.category}"
        expected = golden[key]
        seen.add(key)
        places = positions(file).get(record.id, np.zeros(0, int))
        found = (places[group.detections] + 1).tolist()
        assert [record.annotations[i].id for i in group.people] == expected["gt_ids"]
        if "gps" not in expected:
            assert sorted(found) == sorted(expected.get("dt_ids", found))
            assert group.gps.size == 0
            continue
        assert found == expected["dt_ids_sorted"]
        np.testing.assert_allclose(group.gps, expected["gps"], atol=1e-9)
        np.testing.assert_allclose(group.box_iou, expected["box_iou"], atol=1e-9)
        np.testing.assert_allclose(group.mask_iou, expected["mask_iou"], atol=1e-9)
    assert seen == set(golden)


def test_regions_leave_people_out():
    kept = results()["gt_after_ignore_regions"]
    comparison = Comparison(main_dataset(), None, with_masks=False, mode="iuvdt")
    left_out = 0
    for place, record in enumerate(main_dataset().images):
        groups = comparison.compare(place, Detections.none())
        people = [record.annotations[i].id for group in groups for i in group.people]
        assert people == kept.get(str(record.id), [])
        left_out += len(record.annotations) - len(people)
    assert left_out


def test_regions_of_an_image_without_annotations_do_not_count():
    record = next(record for record in main_dataset().images if record.annotations)
    everywhere = ((0.0, 0.0, record.width, 0.0, record.width, record.height, 0.0, record.height),)
    found = Detections(
        classes=np.zeros(1, np.int64), scores=np.ones(1), boxes_xywh=np.array([[9.0, 9, 50, 50]])
    )

    def groups(**changes):
        images = (replace(record, ignore_regions=everywhere, **changes),)
        dataset = replace(main_dataset(), images=images)
        comparison = Comparison(dataset, None, with_masks=False, mode="iuvdt")
        return comparison.compare(0, found)

    assert not groups()
    assert len(groups(annotations=())[0].detections) == 1


def test_gps_is_there_after_settling():
    comparison = Comparison(main_dataset(), surface(), with_masks=False, mode="iuvdt")
    (group,) = comparison.compare(0, detections()[main_dataset().images[0].id])
    assert not group.gps.any()
    comparison.settle()
    assert group.gps.any()
    assert not group.mask_iou.any()
