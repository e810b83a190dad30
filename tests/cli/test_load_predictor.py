"""Which device is this process's own; which model is meant is tested with `iuv predict`."""

from __future__ import annotations

import pytest

from iuv.cli.loading import own_device


@pytest.mark.parametrize(
    ("rank", "gpus", "asked", "own"),
    [
        (None, 2, "auto", "auto"),
        ("1", 2, "auto", "cuda:1"),
        ("3", 2, "cuda", "cuda:1"),
        ("1", 2, "cpu", "cpu"),
        ("1", 2, "cuda:0", "cuda:0"),
        ("1", 0, "auto", "auto"),
    ],
)
def test_own_device(monkeypatch, rank, gpus, asked, own):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert own_device(asked) == own
