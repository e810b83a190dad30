"""`iuv predict` without ``--model``, in truth: over the wire, or by the model in the package.

Both models are tiny here; which one has been used is told by how many people it may find.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from iuv.checkpoint import save_weights, zoo_weights
from iuv.cli.app import app
from iuv.modeling.rcnn import RCNN
from iuv.zoo import EMBEDDED, get_model
from tiny import TINY


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def url(tmp_path):
    """Where the files of a folder are served."""
    (tmp_path / "served").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/weights.safetensors"
        server.shutdown()
        thread.join()


@pytest.fixture
def predict(tmp_path, photo, url, monkeypatch):
    """`iuv predict`, with R_50_FPN_s1x at that address and synth-S in a package of our own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IUV_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(zoo_weights, "_FOLDER", tmp_path)
    torch.manual_seed(0)
    network = RCNN(TINY)
    with torch.no_grad():
        network.box_head.cls.bias[0] += 5  # finds people in anything
    save_weights(network.state_dict(), TINY, tmp_path / "synth-S.safetensors", half=True)

    def own_model(name):
        model = get_model(name)
        return replace(model, config=TINY, weights_url=None if model is EMBEDDED else url)

    monkeypatch.setattr("iuv.resolve.get_model", own_model)
    return lambda *options: CliRunner().invoke(
        app, ["predict", "photo.jpg", "--out", ".", *options]
    )


def found():
    with np.load("photo.npz") as data:
        return len(data["scores"])


def test_what_can_be_downloaded_is_used_then_and_later(predict, tmp_path):
    served = tmp_path / "served" / "weights.safetensors"
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in RCNN(TINY).state_dict().items()}
    save_weights({name: torch.zeros(shape) for name, shape in shapes.items()}, TINY, served)
    for _ in range(2):
        result = predict("--save", "npz")
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith("1 done, ")
        assert found() == 0
        served.unlink(missing_ok=True)  # the second time, it is in the cache


def test_what_cannot_be_downloaded_is_replaced_with_a_notice(predict):
    result = predict("--save", "npz")
    assert result.exit_code == 0, result.output
    notice = result.stderr.splitlines()
    assert "the weights of R_50_FPN_s1x are not to be had: cannot download http://" in notice[0]
    assert "the server says 404" in notice[0]
    assert notice[1].startswith("iuv: NOTE: synth-S is used instead")
    assert notice[2].startswith("1 done, ")
    assert found() > 0


def test_a_named_model_that_cannot_be_downloaded_is_an_error(predict, tmp_path):
    result = predict("--model", "R_50_FPN_s1x")
    assert result.exit_code == 2
    assert result.stderr.startswith("iuv: cannot download http://")
    assert "synth-S" not in result.stderr
    assert not list(tmp_path.glob("photo_*"))
