"""Which device is this process's own, and where symmetry tables are.

Which model is meant is tested with `iuv predict`.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from iuv.checkpoint import DownloadError
from iuv.cli.loading import load_symmetry, own_device


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


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def fetch(url):
        raise DownloadError(f"cannot download {url}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iuv.checkpoint.fetch", fetch)


def save_tables(path, value):
    cells = np.empty((1, 24), object)
    cells[0, :] = [np.full((256, 256), value)] * 24
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"U_transforms": cells, "V_transforms": cells}, do_compression=True)


@pytest.mark.usefixtures("offline")
def test_symmetry_tables_are_given_or_below_the_data_root(monkeypatch, tmp_path):
    name = "UV_symmetry_transforms.mat"
    places = [tmp_path / folder / name for folder in ("datasets", "variable", "option")]
    given = tmp_path / "given.mat"
    for value, path in zip((0.25, 0.5, 0.75, 1.0), [*places, given], strict=True):
        save_tables(path, value)
    assert load_symmetry(None, root=None).u[0, 0, 0] == 0.25
    monkeypatch.setenv("IUV_DATA", "variable")
    assert load_symmetry(None, root=None).u[0, 0, 0] == 0.5
    root = tmp_path / "option"
    assert load_symmetry(None, root=root).u[0, 0, 0] == 0.75
    assert load_symmetry(given, root=root).u[0, 0, 0] == 1


@pytest.mark.usefixtures("offline")
def test_no_symmetry_tables():
    with pytest.raises(DownloadError) as error:
        load_symmetry(None, root=None)
    for text in ("cannot download https://", "put it to datasets", "--symmetry FILE"):
        assert text in str(error.value)
