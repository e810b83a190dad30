"""``iuv eval``: golden scores from files, a tiny model's in one process and in two, mistakes."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import iuv.predictor
from hashing import GOLDEN
from iuv.bodyparts import NUM_PARTS
from iuv.checkpoint import DownloadError, save_weights
from iuv.cli.app import app
from iuv.images import read_image
from iuv.modeling.rcnn import RCNN
from iuv.results import People
from iuv.tta import AugmentedPredictor
from iuv.writers import write_npz
from sample_people import make_person
from tiny import TINY

EVALUATION = GOLDEN / "evaluation"
SURFACE = ["--geodesics", str(EVALUATION / "geodesic")]
TASKS = ["bbox", "densepose_segm", "densepose_gps", "densepose_gpsm"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ impl:DeprecationWarning"  # pycocotools on numpy 2
)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def scores(*arguments):
    return json.loads(run(*arguments, "--json").stdout)["scores"]


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def png_text(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.encodebytes(file.getvalue()).decode()


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    """The golden detections as a DensePose challenge file."""
    with np.load(EVALUATION / "detections.npz") as z:
        ends = z["map_offset"]
        entries = [
            {
                "image_id": int(z["image_id"][k]),
                "category_id": 1,
                "bbox": z["bbox_xywh"][k].tolist(),
                "score": float(z["score"][k]),
                "uv_shape": shape.tolist(),
                "uv_data": png_text(
                    z["map_data"][ends[k] : ends[k + 1]].reshape(shape).transpose(1, 2, 0).copy()
                ),
            }
            for k, shape in enumerate(z["map_shape"])
        ]
    path = tmp_path_factory.mktemp("challenge") / "results.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture(scope="module")
def golden():
    return json.loads((EVALUATION / "results.json").read_text())["results"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """``people.json`` with three images, and the images; somebody is annotated in two of them."""
    random = np.random.default_rng(0)
    images, annotations = [], []
    for id, (height, width) in enumerate([(60, 80), (64, 64), (70, 50)], start=1):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{id}.png")
        images.append({"id": id, "file_name": f"{id}.png", "height": height, "width": width})
        for left in (0, 10):
            box = [left, 0, width - 10, height]
            person = {"id": len(annotations) + 1, "image_id": id, "category_id": 1, "bbox": box}
            person |= {"area": box[2] * box[3], "iscrowd": 0, "segmentation": []}
            if id > 1:
                person |= {f"dp_{axis}": random.uniform(0, 255, 9).tolist() for axis in "xy"}
                person |= {"dp_I": random.integers(1, 25, 9).tolist()}
                person |= {f"dp_{axis}": random.uniform(0, 1, 9).tolist() for axis in "UV"}
            annotations.append(person)
    categories = [{"id": 1, "name": "person"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "people.json").write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    return document


class FakePredictor:
    """Finds two people in every image, the first one all over it."""

    def stream(self, inputs, *, batch_size=1):
        for path in inputs:
            height, width = read_image(path).shape[:2]
            size = {"image_size": (height, width)}
            everywhere = make_person((0, 0, width, height), part=2, **size)
            yield People((height, width), (everywhere, make_person((5, 5, 20, 30), **size)))


@pytest.fixture
def loaded(monkeypatch):
    """Every model is the fake one; records how it was asked for."""
    calls = []

    def load(model, **options):
        calls.append({"model": model, **options})
        return FakePredictor()

    monkeypatch.setattr(iuv.predictor, "load", load)
    return calls


@pytest.mark.parametrize("least", ["0.5", "0.2"])
def test_golden_scores_from_a_challenge_file(challenge, golden, least, tmp_path):
    out = tmp_path / "scores"
    arguments = [EVALUATION / "gt.json", "--results", challenge, *SURFACE, "--out", out]
    result = run(*arguments, "--min-similarity", least, "--json")
    document = json.loads(result.stdout)
    assert document == json.loads((out / "results.json").read_text())
    assert document["images"] == 36
    assert document["scores"].keys() == set(TASKS)
    for task, expected in golden[f"min_{least}"].items():
        assert_close(document["scores"][task], expected)
    assert_close(document["scores"]["bbox"], golden["box"])
    assert "results for 34 of 36 images" in result.stderr


def test_the_tables(challenge, golden):
    result = run(EVALUATION / "gt.json", "--results", challenge, *SURFACE)
    rows = [line.split() for line in result.stdout.splitlines()]
    means = [golden["box"], *(golden["min_0.5"][f"densepose_{t}"] for t in ("segm", "gps", "gpsm"))]
    assert any(row[-4:] == [f"{task['AP']:.2f}" for task in means] for row in rows)
    (gps,) = [row for row in rows if row[:1] == ["gps"]]
    assert gps[1:] == [f"{value:.2f}" for value in golden["min_0.5"]["densepose_gps"].values()]
    assert "36 images of gt." in result.stdout


def test_boxes_alone_are_scored_as_such(challenge, golden, tmp_path):
    keep = ("image_id", "category_id", "bbox", "score")
    entries = [{key: entry[key] for key in keep} for entry in json.loads(challenge.read_text())]
    (tmp_path / "boxes.json").write_text(json.dumps(entries))
    arguments = [EVALUATION / "gt.json", "--results", tmp_path / "boxes.json"]
    result = run(*arguments, "--json")
    assert list(json.loads(result.stdout)["scores"]) == ["bbox"]
    assert_close(json.loads(result.stdout)["scores"]["bbox"], golden["box"])
    assert "segm, gps, gpsm not scored: the results have boxes alone" in result.stderr
    refused = run(*arguments, "--tasks", "bbox,gps", code=2)
    assert "--tasks: gps cannot be scored: the results have boxes alone" in refused.stderr


def test_undefined_is_no_zero(challenge, tmp_path):
    """Without a large person, APl is nobody's; it is null, and a dash."""
    document = json.loads((EVALUATION / "gt.json").read_text())
    for annotation in document["annotations"]:
        annotation["area"] = 50 * 50
    (tmp_path / "gt.json").write_text(json.dumps(document))
    arguments = [tmp_path / "gt.json", "--results", challenge, *SURFACE]
    assert scores(*arguments)["densepose_gps"]["APl"] is None
    (gps,) = [row for row in run(*arguments).stdout.splitlines() if row.startswith("gps ")]
    assert gps.split()[5] == "-"


def test_a_model_beside_its_published_figures(photos, loaded):
    result = run("people.json", *SURFACE)
    assert loaded[0]["model"] == "R_50_FPN_s1x"
    assert loaded[0]["min_score"] == 0.05
    assert loaded[0]["max_people"] == 100
    assert [loaded[0][name] for name in ("min_size", "short_side")] == [0, None]
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["published", "61.2", "67.2", "63.7", "65.3"] in rows
    assert "The published figures are for densepose_coco_2014_minival." in result.stdout
    dense_1 = json.loads(
        run(
            "people.json", "--tasks", "bbox", "--model", "DensePose_ResNet50_FPN_s1x-e2e", "--json"
        ).stdout
    )
    assert dense_1["published"]["densepose_gps"]["AP75"] == 50.717
    assert "densepose_segm" not in dense_1["published"]
    other = run("people.json", "--tasks", "bbox", "--model", "own.safetensors", "--json")
    assert json.loads(other.stdout)["published"] is None


def test_kept_predictions_give_the_same_scores(photos, loaded):
    found = scores("people.json", *SURFACE, "--out", "kept", "--save-predictions")
    assert found.keys() == set(TASKS)
    again = scores("people.json", *SURFACE, "--results", "kept/predictions")
    assert again == found


@pytest.mark.usefixtures("loaded", "photos")
def test_a_quick_look():
    document = json.loads(run("people.json", "--limit", "1", "--json").stdout)
    assert document["images"] == 1
    assert list(document["scores"]) == ["bbox"]  # nobody in the first image has points
    assert list(scores("people.json", "--tasks", "segm , bbox")) == ["bbox", "densepose_segm"]


@pytest.mark.usefixtures("photos")
def test_augmented(monkeypatch, tiny):
    monkeypatch.setattr(iuv.predictor, "load", lambda *arguments, **options: tiny)
    steps = np.arange(256, dtype=np.float32) / 255
    tables = np.broadcast_to(steps, (NUM_PARTS, 256, 256))
    np.savez_compressed("symmetry.npz", U_transforms=tables, V_transforms=tables)
    arguments = ["people.json", "--tasks", "bbox", "--limit", "1"]
    plain = scores(*arguments)
    defaults = AugmentedPredictor.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "short_sides", (40, 64))
    found = scores(*arguments, "--tta", "--symmetry", "symmetry.npz")
    assert found.keys() == plain.keys()
    assert found != plain


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(photos, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RCNN(TINY)
    torch.nn.init.constant_(model.box_head.cls.bias, 1)
    save_weights(model.state_dict(), TINY, tmp_path / "tiny.safetensors")
    arguments = ["people.json", "--weights", "tiny.safetensors", *SURFACE, "--json"]
    one = run(*arguments)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = subprocess.run(
        [*torchrun, "-m", "iuv", "eval", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert two.returncode == 0, two.stderr
    assert json.loads(two.stdout) == json.loads(one.stdout)


@pytest.mark.usefixtures("loaded")
def test_missing_images_are_found_out_before_the_work(photos, tmp_path):
    (tmp_path / "2.png").unlink()
    assert "1 of its 3 images are missing: 2.png" in run("people.json", *SURFACE, code=2).stderr


@pytest.mark.usefixtures("loaded")
def test_images_of_another_size(photos, tmp_path):
    Image.new("RGB", (50, 64)).save(tmp_path / "2.png")
    message = run("people.json", *SURFACE, code=2).stderr
    assert "2.png: expected an image of 64 x 64 pixels, as people.json says, got 50 x 64" in message


@pytest.mark.usefixtures("loaded", "photos")
def test_without_the_surface_nothing_is_scored_by_halves(monkeypatch):
    def fetch_smpl():
        raise DownloadError("cannot download SMPL_subdiv.mat; put it to the cache")

    monkeypatch.setattr("iuv.cli.scoring.fetch_smpl", fetch_smpl)
    message = run("people.json", code=2).stderr
    assert "put it to the cache. gps and gpsm need this file; --geodesics DIR" in message
    assert "--tasks bbox,segm does without" in message
    run("people.json", "--tasks", "bbox,segm")
    empty = run("people.json", "--geodesics", ".", code=2).stderr
    assert "SMPL_subdiv.mat is missing; download it" in empty
    assert "--tasks bbox,segm does without" in empty


@pytest.mark.usefixtures("loaded", "photos")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["people.json", "--tasks", "bbox,box"], "--tasks: unknown 'box'; choose from bbox, segm,"),
        (["people.json", "--results", "people.json", "--tta"], "--results are scored without a mo"),
        (["people.json", "--results", "people.json"], "these are annotations"),
        (["people.json", "--save-predictions"], "--save-predictions: say by --out DIR where to"),
        (["people.json,people.json"], "names several data sets (people, people); score them one"),
        (["minival"], "unknown data set 'minival'"),
        (["people.json", "--out", "people.json"], "people.json"),
    ],
)
def test_mistakes(arguments, message):
    result = run(*arguments, code=2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("photos")
def test_annotations_of_nobody_cannot_be_scored():
    document = json.loads(Path("people.json").read_text()) | {"annotations": []}
    Path("nobody.json").write_text(json.dumps(document))
    message = "nobody.json: there is nothing to score, as nobody is annotated in its 3 images; give"
    Path("results").mkdir()
    write_npz("results/1.npz", People((60, 80)))
    assert message in run("nobody.json", "--results", "results", code=2).stderr


@pytest.mark.usefixtures("photos")
def test_what_is_not_scored_is_said():
    entries = [
        {"image_id": id, "category_id": category, "bbox": [0, 0, 50, 60], "score": 0.5}
        for id, category in [(1, 1), (9, 1), (8, 1), (7, 1), (6, 1), (2, 44), (2, 18)]
    ]
    with open("results.json", "w", encoding="utf-8") as file:
        json.dump(entries, file)
    lines = run("people.json", "--results", "results.json").stderr.splitlines()
    assert lines == [
        "results for 1 of 3 images",
        "results for 4 other images not scored: 9, 8, 7, ...",
        "2 detections of other categories not scored: 18, 44",
        "segm, gps, gpsm not scored: the results have boxes alone",
    ]


@pytest.mark.usefixtures("photos")
def test_nobody_found_is_said(caplog):
    Path("results").mkdir()
    for id, size in enumerate([(60, 80), (64, 64), (70, 50)], start=1):
        write_npz(f"results/{id}.npz", People(size))
    found = scores("people.json", *SURFACE, "--results", "results")
    assert set(found["densepose_gps"].values()) == {None}
    assert "nobody was found in any image" in caplog.text
