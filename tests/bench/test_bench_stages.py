"""A prediction, stage by stage: the same results as those of a predictor, timed and counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iuv.bench.agreement import agreement
from iuv.bench.forms import PLAIN, REFERENCE, Form
from iuv.bench.plain import PlainRCNN, plain_people
from iuv.bench.scene import Scene, default_size
from iuv.bench.stages import HEAVY, STAGES, TRUNK_PARTS
from iuv.checkpoint import save_weights
from iuv.predictor import Predictor
from tiny import TINY, tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_weights(tiny_model().state_dict(), TINY, path)
    return {name: Form.load(name, TINY, path, CPU) for name in (REFERENCE, PLAIN)}


@pytest.fixture
def scene(photo):
    return Scene(photo, default_size(TINY.input, photo))


def test_the_recipe_is_that_of_a_predictor(forms, scene):
    people = Predictor(forms[REFERENCE].model, device=CPU)(scene.photo)
    (found,) = forms[REFERENCE].run(scene).people
    assert len(people) > 0
    np.testing.assert_array_equal(found.boxes_xyxy, people.boxes_xyxy)
    np.testing.assert_array_equal(found.scores, people.scores)
    np.testing.assert_array_equal(found.iuv(), people.iuv())


@pytest.mark.parametrize("name", [REFERENCE, PLAIN])
def test_every_stage_is_timed_and_the_heavy_ones_counted(forms, scene, name):
    one = forms[name].run(scene._replace(people=1), count=True)
    assert set(one.ms) == {*STAGES, *TRUNK_PARTS.values()}
    assert all(ms > 0 for ms in one.ms.values())
    assert sum(one.ms[part] for part in TRUNK_PARTS.values()) < one.ms["trunk"]
    parts = sum(one.flop[part] for part in TRUNK_PARTS.values())
    assert one.flop["trunk"] == parts > 1e6
    assert all(one.flop[stage] > 1e5 for stage in HEAVY)
    batch = forms[name].run(scene._replace(people=3, batch=2), count=True)
    assert [len(people) for people in batch.people] == [3, 3]
    assert batch.flop["trunk"] == 2 * one.flop["trunk"]
    assert batch.flop["dense head"] == 6 * one.flop["dense head"]


def test_operations_are_those_of_the_definition(forms, scene):
    flop = forms[PLAIN].run(scene._replace(people=1), count=True).flop
    # The RPN head: a 3x3 and two 1x1 convolutions with 3 + 12 outputs, on five levels of 64 x 96.
    cells = sum(-(-64 // stride) * -(-96 // stride) for stride in (4, 8, 16, 32, 64))
    assert flop["RPN head"] == 2 * cells * (32 * 32 * 9 + 32 * 15)


def test_the_plain_form_gives_the_same(forms, scene):
    assert isinstance(forms[PLAIN].model, PlainRCNN)
    for people in (None, 2):
        lean, plain = (forms[n].run(scene._replace(people=people)) for n in (REFERENCE, PLAIN))
        found = agreement(lean, plain)
        assert found.matched == found.found_reference == found.found > 0
        assert found.shift_p95 < 1e-2
        assert found.labels_equal > 0.99
        assert found.uv_error < 1e-4


def test_nobody_is_no_error(forms, scene):
    config = TINY.replace(**{"box.min_score": 1.0})
    for form in forms.values():
        form.model.config, old = config, form.model.config
        trace = form.run(scene)
        form.model.config = old
        assert [len(people) for people in trace.people] == [0]
        assert "decode" not in trace.ms


def test_plain_people_keep_confidences(forms):
    from iuv.results import ChartOutputs

    charts = ChartOutputs(*(torch.randn(1, c, 8, 8) for c in (2, 25, 25, 25, 25)))
    box, score = torch.tensor([[1.0, 2, 21, 32]]), torch.tensor([0.5])
    (person,) = plain_people(charts, box, score, torch.tensor([0]), (40, 40))
    assert person.labels.shape == (30, 20) == person.sigma_2.shape
