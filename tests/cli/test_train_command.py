"""``iuv train``: from annotated images to a model that predicts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from golden_data import ANNOTATIONS
from iuv.checkpoint import DownloadError, load_weights, save_weights
from iuv.cli.app import app
from iuv.cli.training import make_network, read_settings
from iuv.config import ConfigError
from iuv.modeling.rcnn import RCNN
from iuv.zoo import get_model
from tiny_training import TINY_TRAINING

CPU = torch.device("cpu")


@pytest.fixture
def model(tmp_path):
    """The configuration of the tiny model, as a run leaves it."""
    path = tmp_path / "tiny.json"
    config = TINY_TRAINING.replace(**{"solver.max_iter": 1})
    path.write_text(json.dumps(config.to_dict()))
    return path


@pytest.fixture
def train(model, tmp_path):
    """Train the tiny model from random weights into this folder."""

    def run(folder="run", *options, data=ANNOTATIONS, init="none", name=model):
        words = ["train", name, "--data", data, "--out", tmp_path / folder, "--init", init]
        return CliRunner().invoke(app, [str(word) for word in [*words, *options]])

    return run


@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools on numpy 2
def test_from_annotations_to_a_model_that_predicts(train, tmp_path, photo):
    long = ["--set", "solver.max_iter=2"]
    result = train("run", *long, "--eval-data", ANNOTATIONS, "--tasks", "bbox")
    assert result.exit_code == 0, result.output
    for line in (
        "tiny.json: 11.4 million parameters, of which 0.3 million learn",
        "begins with random weights, solver.freeze_at=5",
        "dataset: 3 images, 8 annotations, 57 points",
        "2 steps of 2 images in fp32, on cpu x 1",
        "step 1/2: loss ",
        "evaluating on the 5 images of dataset",
        "scores after step 2: bbox/AP ",
    ):
        assert line in result.stderr, line
    last = json.loads((tmp_path / "run" / "metrics.json").read_text().splitlines()[-1])
    assert last["iteration"] == 2
    assert 0 <= last["eval/bbox/AP"] <= 100
    weights = tmp_path / "run" / "model_final.safetensors"
    words = ["predict", photo, "--out", tmp_path / "out", "--model", weights, "--save", "npz"]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    assert (tmp_path / "out" / "photo.npz").exists()

    again = train("run", *long)
    assert again.exit_code == 2
    assert "there is a run in this folder; go on with it by --resume" in again.stderr
    more = train("run", "--resume", "--set", "solver.max_iter=3")
    assert more.exit_code == 0, more.output
    assert "going on after step 2" in more.stderr
    other = train("run", "--resume", "--set", "solver.max_iter=4", "--set", "solver.momentum=0.5")
    assert other.exit_code == 2
    assert "solver.momentum: 0.9 in the run, 0.5 now" in other.stderr


def test_the_former_run_of_a_config_json(train, tmp_path):
    assert train("one").exit_code == 0
    assert train("two", name=tmp_path / "one" / "config.json").exit_code == 0
    one, two = ((tmp_path / name / "config.json").read_text() for name in ("one", "two"))
    assert one == two


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills at SIGTERM")
def test_sigterm_exits_cleanly(model, tmp_path):
    words = ["train", model, "--data", ANNOTATIONS, "--out", tmp_path / "run", "--init", "none"]
    words += ["--set", "solver.max_iter=1000000"]
    command, seen = [sys.executable, "-m", "iuv", *map(str, words)], []
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=quiet) as process:
        for line in process.stderr:
            seen.append(line)
            if line.startswith("step 2/"):
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 143, seen
    assert "and the same command with --resume goes on" in seen[-1]
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "solver.base_rl=1"], "unknown config field 'solver.base_rl'; did you mean sol"),
        (["--set", "solver.base_lr=fast"], "solver.base_lr must be float, got 'fast'"),
        (["--set", "loader.batch_size=3", "--set", "solver.accumulate=2"], "must be a multiple"),
        (["--set", "solver.precision=fp16"], "fp16 needs CUDA, but the device is cpu"),
        (["--set", "box.num_classes=1"], "has 2 classes (person, dog), but box.num_classes is 1"),
        (["--init", "imagenet"], "no ImageNet weights of a ResNet-18 are known; give some by"),
        (["--init", "no_such_model"], "unknown model 'no_such_model'"),
        (["--data", "nowhere.json"], "nowhere.json: no such file"),
        (["--eval-data", "nowhere.json"], "nowhere.json: no such file"),
        (["--eval-data", ANNOTATIONS, "--tasks", "box"], "--tasks: unknown 'box'"),
        (["--device", "cuda:77"], "device 'cuda:77' cannot be used here"),
    ],
    ids=str,
)
def test_wrong_calls_say_what_to_do(train, options, message, tmp_path):
    result = train("run", *options)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "run" / "config.json").exists()


def test_options_of_an_evaluation_that_is_not_wanted(train):
    result = train("run", "--tasks", "bbox")
    assert result.exit_code == 2
    assert "--tasks and --geodesics are for evaluation; add --eval-data" in result.stderr


def test_missing_images_are_said_at_the_start(train, tmp_path):
    shutil.copy(ANNOTATIONS, tmp_path / "mine.json")
    result = train(data=tmp_path / "mine.json")
    assert result.exit_code == 2
    assert "3 of its 3 images are missing" in result.stderr
    images = ANNOTATIONS.parent
    assert train("run", "--images", images, data=tmp_path / "mine.json").exit_code == 0


def test_scores_are_of_the_same_classes(train, tmp_path):
    only_dogs = tmp_path / "dogs.yaml"
    images = ANNOTATIONS.parent
    only_dogs.write_text(f"annotations: {ANNOTATIONS}\nimages: {images}\nclasses: {{18: dog}}\n")
    result = train("run", "--eval-data", only_dogs, "--tasks", "bbox")
    assert result.exit_code == 2
    assert "its classes are dog, but the model learns person, dog; choose" in result.stderr


@pytest.fixture
def offline(monkeypatch):
    def fetch(url, **_):
        raise DownloadError(f"cannot download {url}")

    monkeypatch.setattr("iuv.cli.training.fetch", fetch)
    monkeypatch.setattr("iuv.checkpoint.fetch", fetch)


@pytest.mark.usefixtures("offline")
def test_mirroring_needs_tables(train, tmp_path):
    mirrored = ["--set", "augment.flip_probability=0.5"]
    result = train("run", *mirrored)
    assert result.exit_code == 2
    for text in (
        "UV_symmetry_transforms.mat",
        "--symmetry FILE",
        "augment.flip_probability=0 does",
    ):
        assert text in result.stderr
    tables, path = np.full((24, 256, 256), 0.5), tmp_path / "tables.npz"
    np.savez_compressed(path, U_transforms=tables, V_transforms=tables)
    assert train("run", *mirrored, "--symmetry", path).exit_code == 0


@pytest.mark.parametrize("init", ["imagenet", "R_50_FPN_s1x"])
@pytest.mark.usefixtures("offline")
def test_weights_come_from_their_address(init):
    config = TINY_TRAINING.replace(**{"backbone.depth": 50})
    name = r"MSRA/R-50\.pkl" if init == "imagenet" else r"model_final_162be9\.pkl"
    with pytest.raises(DownloadError, match=name):
        make_network(config, init, CPU)


def stem(network):
    return network.trunk.resnet.stem.conv.weight


def test_weights_of_a_whole_model_or_of_a_resnet(tmp_path):
    torch.manual_seed(1)
    other = RCNN(TINY_TRAINING.model)
    whole, backbone = tmp_path / "whole.safetensors", tmp_path / "resnet.safetensors"
    save_weights(other.state_dict(), TINY_TRAINING.model, whole)
    state = {k: v for k, v in other.state_dict().items() if k.startswith("trunk.resnet.")}
    save_weights(state, TINY_TRAINING.model, backbone)
    begun = {path: make_network(TINY_TRAINING, str(path), CPU) for path in (whole, backbone)}
    for network in begun.values():
        assert torch.equal(
            network.trunk.resnet.stem.conv.weight, other.trunk.resnet.stem.conv.weight
        )
    assert torch.equal(begun[whole].box_head.fc1.weight, other.box_head.fc1.weight)
    assert not torch.equal(begun[backbone].box_head.fc1.weight, other.box_head.fc1.weight)


def test_imagenet_weights(tmp_path, monkeypatch):
    config = TINY_TRAINING.replace(**{"solver.freeze_at": 2})
    path = tmp_path / "R-18.safetensors"
    state = {k: v + 1 for k, v in RCNN(config.model).state_dict().items() if "resnet" in k}
    save_weights(state, config.model, path)
    monkeypatch.setattr("iuv.cli.training.BACKBONE_URLS", {18: "an address"})
    monkeypatch.setattr("iuv.cli.training.fetch", {"an address": path}.get)
    network = make_network(config, "imagenet", CPU)
    assert torch.equal(
        network.trunk.resnet.stem.conv.weight, state["trunk.resnet.stem.conv.weight"]
    )
    frozen = {n.split(".")[2] for n, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"stem", "res2"}
    same = make_network(config, "imagenet", CPU)
    assert torch.equal(network.box_head.fc1.weight, same.box_head.fc1.weight)


def test_settings(tmp_path):
    published = read_settings("R_50_FPN_WC1M_s1x", [], "imagenet")
    assert published.model == get_model("R_50_FPN_WC1M_s1x").config
    assert (published.solver.clip, published.solver.freeze_at) == ("norm", 2)
    assert read_settings("R_50_FPN_s1x", [], "none").solver.freeze_at == 0
    assert read_settings("R_50_FPN_s1x", ["solver.freeze_at=3"], "none").solver.freeze_at == 3
    config = TINY_TRAINING.replace(**{"solver.freeze_at": 4})
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert read_settings(str(tmp_path / "config.json"), [], "none") == config
    yaml = tmp_path / "mine.yaml"
    yaml.write_text("_BASE_: densepose_rcnn_R_50_FPN_s1x.yaml\nSOLVER:\n  BASE_LR: 0.5\n")
    assert read_settings(str(yaml), [], "imagenet").solver.base_lr == 0.5
    for text in ("{", "[]", '{"solver": {"lr": 1}}'):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(ConfigError, match=r"broken.json: is no config.json of a run"):
            read_settings(str(tmp_path / "broken.json"), [], "imagenet")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo needs another set-up on Windows")
def test_two_processes(model, tmp_path):
    words = ["train", model, "--data", ANNOTATIONS, "--out", tmp_path / "run", "--init", "none"]
    words += ["--eval-data", ANNOTATIONS, "--tasks", "bbox", "--set", "loader.workers=1"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, "-m", "iuv", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "1 steps of 2 images in fp32, on cpu x 2" in done.stderr
    assert len((tmp_path / "run" / "metrics.json").read_text().splitlines()) == 2
    load_weights(RCNN(TINY_TRAINING.model), tmp_path / "run" / "model_final.safetensors")
