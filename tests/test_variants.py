"""The comparison of variants: what they begin with, what they differ in, what is made of points."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import sigma
import variants
from iuv.checkpoint import CheckpointError, load_weights, read_state, save_weights
from iuv.data.records import Annotation, Points
from iuv.modeling.rcnn import RCNN
from iuv.results import Person
from tiny_training import TINY_TRAINING

BASE = TINY_TRAINING.replace(
    **{
        "backbone.width": 8,
        "backbone.fpn_channels": 64,
        "dense.conv_dim": 32,
        "dense.batch_norm": True,
    }
)


@pytest.fixture
def trained(tmp_path):
    """Weights of the plain variant."""
    torch.manual_seed(5)
    path = tmp_path / "trained.safetensors"
    save_weights(RCNN(BASE.model).state_dict(), BASE.model, path)
    return path


def test_variants_differ_as_the_published_models_do():
    plain, *others = (variants.variant_config(BASE, name) for name in variants.VARIANTS)
    assert plain == BASE
    differences = [
        {
            f"{section}.{name}": value
            for section, settings in other.to_dict().items()
            for name, value in settings.items()
            if value != plain.to_dict()[section][name]
        }
        for other in others
    ]
    weight = BASE.losses.points_weight / 20
    assert differences == [
        {"dense.head": "deeplab", "dense.batch_norm": False},
        {"dense.uv_confidence": "iid_iso", "losses.points_weight": pytest.approx(weight)},
        {"dense.uv_confidence": "indep_aniso", "losses.points_weight": pytest.approx(weight)},
    ]


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_they_begin_with_the_same_but_for_the_dense_head(trained, tmp_path, name):
    config = variants.variant_config(BASE, name)
    begin, again = tmp_path / "begin.safetensors", tmp_path / "again.safetensors"
    variants.first_weights(config, str(trained), begin)
    load_weights(RCNN(config.model), begin)
    given, own = read_state(trained), read_state(begin)
    shared = [key for key in own if not key.startswith("dense.")]
    assert shared
    assert all(torch.equal(own[key], given[key]) for key in shared)
    dense = "dense.chart.u.weight"
    assert not torch.equal(own[dense], given[dense])
    variants.first_weights(config, str(trained), again)
    assert begin.read_bytes() == again.read_bytes()


def test_a_trunk_of_another_size_does_not_go_unnoticed(trained, tmp_path):
    other = BASE.replace(**{"backbone.fpn_channels": 96})
    variants.first_weights(other, str(trained), tmp_path / "begin.safetensors")
    with pytest.raises(CheckpointError, match="of another shape"):
        load_weights(RCNN(other.model), tmp_path / "begin.safetensors")


def test_a_folder_holds_one_experiment(trained, tmp_path):
    data, minival = tmp_path / "data.json", tmp_path / "minival.json"
    data.write_text("{}")
    minival.write_text("{}")

    def experiment(**changes):
        about = {"base": BASE, "data": data, "minival": minival, "init": None, "limit": None}
        return variants.Experiment(**about | {"out": tmp_path} | changes)

    variants.require_same(experiment(), BASE, tmp_path)
    variants.require_same(experiment(), BASE, tmp_path)
    with pytest.raises(SystemExit, match="was made with another init; give the same"):
        variants.require_same(experiment(init=str(trained)), BASE, tmp_path)
    with pytest.raises(SystemExit, match="another settings"):
        variants.require_same(experiment(), BASE.replace(**{"run.seed": 3}), tmp_path)
    data.write_text('{"images": []}')
    with pytest.raises(SystemExit, match="another data;"):
        variants.require_same(experiment(), BASE, tmp_path)


def test_weights_of_the_same_name_may_have_been_trained_on(trained, tmp_path):
    """Which happened: variants that begin with different weights cannot be compared."""
    files = {"data": trained, "minival": trained}
    same = variants.Experiment(base=BASE, init=str(trained), limit=None, out=tmp_path, **files)
    variants.require_same(same, BASE, tmp_path)
    state = {name: tensor + 1 for name, tensor in read_state(trained).items()}
    save_weights(state, BASE.model, trained)
    with pytest.raises(SystemExit, match="another data, minival, init;"):
        variants.require_same(same, BASE, tmp_path)


def test_an_unknown_variant(capsys):
    with pytest.raises(SystemExit):
        variants.parse(["--data", "a", "--minival", "b", "--out", "c", "--variants", "s1x,WC3"])
    assert "unknown WC3" in capsys.readouterr().err


def test_short_runs_warm_up_for_less(tmp_path):
    path = tmp_path / "config.json"
    changed = BASE.replace(
        **{
            "solver.warmup_iters": 300,
            "solver.ema_decay": 0.999,
            "solver.max_iter": 20000,
            "solver.steps": (17000, 18500),
        }
    )
    path.write_text(json.dumps(changed.to_dict()))
    words = f"--data a --minival b --out c --config {path} --iterations 200 --set run.seed=7"
    config = variants.base_config(variants.parse(words.split()))
    assert config.solver.max_iter == 200
    assert config.solver.warmup_iters == 20
    assert config.solver.ema_decay == 0.9
    assert config.solver.steps == (170, 185)
    assert config.run.seed == 7


def person(**maps):
    maps = {name: np.full((2, 2), value, np.float32) for name, value in maps.items()}
    return Person(
        image_size=(2, 2),
        box_xyxy=np.float32([0, 0, 2, 2]),
        score=1.0,
        box_xywh=(0, 0, 2, 2),
        labels=np.ones((2, 2), np.uint8),
        uv=np.zeros((2, 2, 2), np.float32),
        **maps,
    )


def test_predicted_sigma():
    isotropic = sigma.predicted_sigma(person(sigma_2=0.0), 0.01)
    assert np.allclose(isotropic**2, np.log(2) + 0.01)
    aniso = sigma.predicted_sigma(person(sigma_2=0.0, kappa_u=0.6, kappa_v=-0.8), 0.01)
    assert np.allclose(aniso**2, np.log(2) + 0.01 + 0.5)  # half of the trace of s + r r^T
    with pytest.raises(ValueError, match="predicts no sigma"):
        sigma.predicted_sigma(person())


def test_points_are_looked_up_where_they_were_annotated():
    """Pixels of the image (13, 22), (14, 21) of another part, (15, 23) of nobody, (10, 20)."""
    pixels = np.array([(13, 22), (14, 21), (15, 23), (10, 20)])
    points = Points(
        x=(pixels[:, 0] + 0.5 - 10) * 256 / 8,
        y=(pixels[:, 1] + 0.5 - 20) * 256 / 4,
        labels=np.array([3, 4, 3, 3]),
        u=np.full(4, 0.5),
        v=np.full(4, 0.25),
    )
    annotation = Annotation(id=1, category=0, box_xywh=(10, 20, 8, 4), area=32, points=points)
    labels, uv = np.zeros((3, 5), np.uint8), np.zeros((2, 3, 5), np.float32)
    labels[1, 1], uv[:, 1, 1] = 3, (0.75, 0.5)
    labels[0, 2], uv[:, 0, 2] = 5, (0.5, 0.25)
    spread = np.arange(15.0).reshape(3, 5)
    found = replace(person(), box_xywh=(12, 21, 5, 3), labels=labels, uv=uv)

    def nearest(part, u, v):  # a vertex per part, and V in quarters; none of part 5
        return np.where(part == 5, -1, part * 10 + np.round(4 * v).astype(int))

    mesh = SimpleNamespace(
        nearest=nearest, geodesics=SimpleNamespace(distances=lambda true, own: own - true)
    )
    columns = sigma.at_points(annotation, found, spread, mesh)
    np.testing.assert_array_equal(columns, [[6, 2], [0.25, np.nan], [1, np.nan]])


def test_people_are_matched_by_their_boxes():
    annotation = Annotation(id=1, category=0, box_xywh=(0, 0, 10, 10), area=100)

    def people(*boxes):
        return [replace(person(), box_xyxy=np.float32(box)) for box in boxes]

    near = people((5, 0, 15, 10), (1, 0, 11, 10), (0, 2, 10, 12))
    assert sigma.best_match(annotation, near) is near[1]
    assert sigma.best_match(annotation, people((5, 0, 15, 10), (20, 20, 30, 30))) is None


def test_the_table_has_a_row_per_variant(trained, tmp_path):
    experiment = variants.Experiment(
        base=BASE, data=trained, minival=trained, init=str(trained), out=tmp_path, limit=None
    )
    found = {"points": 10, "bins": [(0.1, 0.2)] * 10, "rank_correlation": 0.5}
    for name, ap in (("s1x", 12.34), ("WC1", None)):
        folder = tmp_path / name
        for run in ("run", "probe"):
            (folder / run).mkdir(parents=True)
            lines = [{"s_per_iter": s, "max_memory_mb": 2000 + s} for s in (1, 3, 2)]
            (folder / run / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
        scores = {task: {"AP": ap} for task in variants.TASKS}
        (folder / "results.json").write_text(json.dumps({"scores": scores, "images": 7}))
        (folder / "run/model_final.safetensors").write_bytes(trained.read_bytes())
    (tmp_path / "WC1/sigma.json").write_text(json.dumps({"uv": found, "geodesic": found}))
    text = variants.table(experiment, ["s1x", "WC1"])
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| s1x", "| WC1"))]
    assert [row[3:] for row in rows] == [
        ["12.3", "12.3", "12.3", "2.00", "2.00 GB |"],
        ["0.0", "0.0", "0.0", "2.00", "2.00 GB |"],  # AP of nobody found
    ]
    assert "scored on 7 pictures" in text
    assert "WC1: from the surest tenth" in text


def test_errors_that_are_as_large_as_predicted_lie_on_the_line():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 0.5, 40_000)
    error = np.sqrt((rng.normal(0, spread) ** 2 + rng.normal(0, spread) ** 2) / 2)
    error[:1000] = np.nan  # of another part
    found = sigma.binned(np.stack([spread, error, error]))
    assert found["uv"]["points"] == 39_000
    assert len(found["uv"]["bins"]) == 10
    for predicted, seen in found["uv"]["bins"]:
        assert seen == pytest.approx(predicted, rel=0.05)
    means = [distance for _, distance in found["geodesic"]["bins"]]
    assert means == sorted(means)
    assert 0.3 < found["uv"]["rank_correlation"] < 1
    with pytest.raises(sigma.TooFewPointsError, match="at least 10 annotated points"):
        sigma.binned(np.full((3, 9), 0.1))


def test_results_are_put_into_the_page(tmp_path, monkeypatch):
    page, plot = tmp_path / "variants.md", tmp_path / "sigma.png"
    page.write_text("# A\n<!-- python benchmarks/variants.py -->\nold\n<!-- end -->\nB\n")
    monkeypatch.setattr(variants, "PAGE", page)
    monkeypatch.setattr(variants, "PLOT", tmp_path / "docs.png")
    curve = [(0.1 * k, 0.1 * k) for k in range(1, 11)]
    found = {"points": 10, "bins": curve, "rank_correlation": 1.0}
    sigma.draw({"WC1": {"uv": found, "geodesic": found}}).save(plot)
    for _ in range(2):  # twice is as once
        variants.publish("| table |\n", plot)
        text = page.read_text()
        assert text.count("| table |") == 1
        assert "old" not in text
        assert text.endswith("<!-- end -->\nB\n")
    assert (tmp_path / "docs.png").read_bytes() == plot.read_bytes()


def test_the_page_has_the_results():
    """As `--publish` has written them, of every variant."""
    (section,) = (found[0] for found in variants.MARK.finditer(variants.PAGE.read_text("utf-8")))
    for name, meaning in variants.MEANING.items():
        assert f"| {name} | {meaning} | " in section
        assert f"\n{name}: from the surest tenth" in section or not name.startswith("WC")
    assert f"](../images/{variants.PLOT.name})" in section
    with Image.open(variants.PLOT) as plot:
        plot.verify()
