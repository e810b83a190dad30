"""Tables, data and the picture of known measurements."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from iuv.bench.agreement import Agreement
from iuv.bench.forms import PLAIN, FormName
from iuv.bench.fresh import Fresh
from iuv.bench.machine import describe_machine
from iuv.bench.plot import draw_bars
from iuv.bench.report import page, plain_data, slopes
from iuv.bench.scene import Scene
from iuv.bench.stages import STAGES
from iuv.bench.suite import TOTAL, Plan, Result, Suite
from tiny import TINY

FAST = FormName("openvino", "bf16")
CPU = torch.device("cpu")


def result(form, people, ms):
    """Ten runs in which the trunk takes 100 to 109 ms more than all else, which takes `ms`."""
    stages = {stage: ms / 10 for stage in STAGES} | {"trunk": 100.0}
    runs = [stages | {"trunk": 100.0 + i, TOTAL: 100.0 + i + 0.7 * ms} for i in range(10)]
    scene = Scene(Path("photo.jpg"), (717, 1333), 1, people)
    return Result(form=form, scene=scene, runs=runs, flop={"trunk": 5e9})


@pytest.fixture
def suite(tmp_path):
    plan = Plan(
        config=TINY,
        weights=tmp_path,
        device=CPU,
        forms=[FAST, PLAIN],
        sizes=[(717, 1333)],
        batch_sizes=[1],
        people=[1, 5],
        photo=None,
        runs=10,
    )
    suite = Suite(plan, tmp_path)
    suite.results = [
        result(form, people, cost * people)
        for people in (1, 5)
        for form, cost in ((FAST, 100), (PLAIN, 400))
    ]
    suite.results[0].fresh = Fresh(2.0, 10**9, None)
    suite.results[1].fresh = Fresh(3.0, 15 * 10**8, None)
    suite.results[0].agreement = Agreement(
        found_reference=3,
        found=4,
        matched=2,
        shift_median=0.25,
        shift_p95=0.5,
        labels_equal=0.9912,
        uv_error=0.001,
    )
    suite.peaks = {"bf16": 1e11}
    suite.not_loaded = {"onnxruntime bf16": "computes with fp32 only\nand more"}
    return suite


@pytest.fixture
def about():
    return {
        "command": "iuv bench",
        "model": "R_50_FPN_s1x",
        "made_up_weights": True,
        "machine": describe_machine(CPU),
    }


def row(text, *cells):
    """The cells of the one line that has all of these."""
    lines = [line for line in text.splitlines() if all(cell in line for cell in cells)]
    assert len(lines) == 1, lines
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def test_the_page(suite, about):
    text = page(suite, about, stages=False)
    for form, cells in {
        "openvino bf16": [
            "174 ± 2.2 (2.20x)",
            "5.73",
            "28.7",
            "29%",
            "2.0 (1.50x)",
            "1.00 (1.50x)",
        ],
        "plain": ["384 ± 2.2", "2.6", "13", "-", "3.0", "1.50"],
    }.items():
        found = row(text.partition("## Agreement")[0], form, "1 person")
        assert found == ["717x1333, 1 person", form, *cells]
    found = row(text.partition("## Agreement")[2].partition("## One")[0], "openvino bf16")
    assert found[2:] == ["2 of 3, 2 more", "0.25", "0.50", "99.120%", "0.00100"]
    assert "The weights are made up, and so is this agreement." in text
    assert row(text, "717x1333 ", "openvino bf16")[2] == "30.0 (4.00x)"
    assert "* onnxruntime bf16: computes with fp32 only\n" in text
    assert "## Stages" not in text
    stages = page(suite, about, stages=True).partition("## Stages: 717x1333, 5 people")[2]
    assert row(stages, "dense head") == ["dense head", "50 ± 0.0 (4.00x)", "200 ± 0.0"]


def test_the_data(suite, about):
    data = json.loads(json.dumps(plain_data(suite, about)))
    first = data["results"][0]
    assert (first["engine"], first["precision"], first["people"]) == ("openvino", "bf16", 1)
    assert first["ms"][TOTAL] == pytest.approx([174.5, 172.25, 176.75])
    assert first["ratio_to_plain"]["decode"] == 4
    assert first["gflops"] == pytest.approx(5 / 0.1745)
    assert first["share_of_matrix_product"] == pytest.approx(5 / 0.1745 / 100)
    assert first["fresh"] == {
        "first_result_s": 2.0,
        "peak_bytes": 10**9,
        "device_peak_bytes": None,
    }
    assert data["results"][1]["ratio_to_plain"] is None
    assert data["not_measured"] == {"onnxruntime bf16": "computes with fp32 only"}
    assert data["command"] == "iuv bench"


def test_stages_that_the_plain_form_has_not_had(suite, about):
    """It found nobody, say."""
    for run in suite.results[1].runs:
        del run["decode"]
    suite.results[0].runs = [run | {"dense head": 0.0} for run in suite.results[0].runs]
    ratios = plain_data(suite, about)["results"][0]["ratio_to_plain"]
    assert "decode" not in ratios
    assert "dense head" not in ratios
    assert ratios["proposals"] == 4
    assert page(suite, about, stages=True)


def test_what_a_person_costs(suite, about):
    costs = {str(form): ms for (_, form), ms in slopes(suite.results).items()}
    assert costs == {"openvino bf16": pytest.approx(30), "plain": pytest.approx(120)}
    assert slopes(suite.results[:2]) == {}
    suite.results[2] = result(FAST, 5, 1)  # faster than one: noise
    cells = row(page(suite, about, stages=False).partition("## One more")[2], "openvino bf16")[2:]
    assert cells == ["-7.4"]


def test_nothing_measured(suite, about):
    suite.results = []
    assert "## Predictions" not in page(suite, about, stages=True)
    assert plain_data(suite, about)["results"] == []
    assert draw_bars([], "name") is None


def test_bars_are_as_long_as_what_they_show(suite):
    pixels = np.asarray(draw_bars(suite.results[:2], "name"))
    trunk = (pixels == (20, 110, 190)).all(2)
    rows = np.flatnonzero(trunk.sum(1) > 40)
    assert len(rows) > 20
    assert trunk[rows[0]].sum() == trunk[rows[-1]].sum()  # both forms' trunks take the same
    assert trunk.any(0).nonzero()[0].min() > 100  # names stand to their left
    dense = (pixels == (150, 60, 150)).all(2)[rows]
    assert dense[-1].sum() == pytest.approx(4 * dense[0].sum(), abs=4)


def test_the_machine_is_described_but_not_named():
    import platform

    machine = describe_machine(CPU)
    assert machine["cores"] >= 1
    assert machine["packages"]["torch"] == torch.__version__
    assert platform.node() not in json.dumps(machine)
