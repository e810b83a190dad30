"""Settings and fixtures of all tests."""

from __future__ import annotations

import os
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from iuv.predictor import Predictor
from tiny import tiny_predictor


def pytest_configure() -> None:
    """Share the cores among pytest-xdist's workers; more threads than cores only wait."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory):
    """Keep the user's cache folder out of the tests, and engines that take long to prepare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IUV_ENGINE", "eager")
        patch.setenv("IUV_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny() -> Predictor:
    """A predictor with random weights that finds people in anything, in a moment."""
    return tiny_predictor()


@pytest.fixture
def photo(tmp_path):
    """``photo.jpg`` of 80 x 60 pixels, in the test's temporary folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def fake_densepose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that a user of Detectron2 has installed."""
    name = "DensePoseChartResultWithConfidences"
    module = types.ModuleType("densepose.structures.chart_result")
    setattr(module, name, type(name, (), {"__module__": module.__name__}))
    for package in ("densepose", "densepose.structures"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    monkeypatch.setitem(sys.modules, module.__name__, module)
