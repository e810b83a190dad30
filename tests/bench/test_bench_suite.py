"""Many measurements: in turns, whatever fails, and as far as they got."""

from __future__ import annotations

import pytest
import torch

from iuv.bench import suite as suites
from iuv.bench.forms import PLAIN, REFERENCE, Form, FormName
from iuv.bench.fresh import Fresh, measure_fresh
from iuv.bench.machine import matrix_product
from iuv.bench.suite import TOTAL, Plan, Spread, Suite
from iuv.checkpoint import save_weights
from tiny import TINY, tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A suite of a tiny model, without fresh processes."""
    monkeypatch.setattr(suites, "measure_fresh", lambda task: Fresh(1.0, 2, None))
    monkeypatch.setattr(suites, "matrix_product", lambda precision, device: 1e9)
    save_weights(tiny_model().state_dict(), TINY, tmp_path / "tiny.safetensors")

    def build(*forms, people=(1,), photo=None):
        plan = Plan(
            config=TINY,
            weights=tmp_path / "tiny.safetensors",
            device=CPU,
            forms=forms,
            sizes=[(64, 96)],
            batch_sizes=[1],
            people=people,
            photo=photo,
            runs=2,
        )
        return Suite(plan, tmp_path)

    return build


def test_forms_take_turns_on_each_scene(make, monkeypatch):
    turns, run = [], Form.run

    def spy(form, scene, *, count=False):
        turns.append((scene.people, str(form.name)))
        return run(form, scene, count=count)

    monkeypatch.setattr(Form, "run", spy)
    suite, steps = make(FormName("auto", "fp32"), REFERENCE, PLAIN, people=(1, 2)), []
    suite.run(steps.append)
    one = [(people, form) for people in (1, 2) for form in ("eager fp32", "plain")]
    assert turns == 3 * one  # the first turn warms up
    assert [str(r.form) for r in suite.results] == ["eager fp32", "plain"] * 2
    assert len(steps) <= suite.steps
    for result in suite.results:
        ms = result.ms()
        assert len(result.runs) == 2
        assert result.flop["trunk"] > 0
        assert result.fresh == Fresh(1.0, 2, None)
        assert ms[TOTAL].lower <= ms[TOTAL].median <= ms[TOTAL].upper
    assert suite.results[0].agreement is None
    assert suite.results[1].agreement.labels_equal > 0.99


def test_what_cannot_run_here_says_why_and_the_rest_goes_on(make, monkeypatch):
    suite, run = make(FormName("eager", "fp16"), REFERENCE, PLAIN), Form.run

    def failing(form, scene, *, count=False):
        if form.name == PLAIN:
            raise RuntimeError("out of memory")
        return run(form, scene, count=count)

    monkeypatch.setattr(Form, "run", failing)
    suite.run(lambda step: None)
    assert "not with fp16" in suite.not_loaded["eager fp16"]
    lean, plain = suite.results
    assert (len(lean.runs), lean.problem) == (2, None)
    assert (plain.runs, plain.problem) == ([], "out of memory")


def test_what_is_done_stays_when_it_is_stopped(make):
    suite = make(REFERENCE, people=(1, 2))

    def stop(step):
        if step == "turn 2 of 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite.run(stop)
    assert [len(result.runs) for result in suite.results] == [1, 1]


def test_people_of_a_photo(make, photo):
    suite = make(REFERENCE, people=(None,), photo=photo)
    suite.run(lambda step: None)
    assert suite.results[0].ms()["dense head"].median > 0


def test_spread():
    assert Spread.of([5, 1, 2, 4, 3]) == (3, 2, 4)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_matrix_product(precision):
    rate = matrix_product(precision, CPU)
    assert rate is None or 1e8 < rate < 1e16


def test_a_fresh_process_that_fails_tells_its_last_words():
    with pytest.raises(RuntimeError, match=r"ended with code 1: KeyError: 'threads'"):
        measure_fresh({})
