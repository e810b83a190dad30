"""The table of nearest vertices: right, kept, and made anew when damaged."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from iuv.evaluation import byte_table as module
from iuv.evaluation.byte_table import byte_table
from iuv.evaluation.geodesics import MatrixGeodesics
from iuv.evaluation.meshes import SurfaceMesh


@pytest.fixture
def mesh():
    rng = np.random.default_rng(0)
    return SurfaceMesh(
        parts=np.repeat(np.arange(1, 24), 3),  # part 24 has no vertex
        u=rng.uniform(size=69),
        v=rng.uniform(size=69),
        vertices=rng.integers(0, 9, 69),
        geodesics=MatrixGeodesics(np.zeros((9, 9))),
    )


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("IUV_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "nearest"


def test_table(mesh, kept):
    table = byte_table(mesh)
    rng = np.random.default_rng(1)
    labels, u, v = rng.integers(0, 25, 500), *rng.integers(0, 256, (2, 500))
    expected = mesh.nearest(labels, u / 255, v / 255)
    np.testing.assert_array_equal(table[labels << 16 | u << 8 | v], expected)
    assert (table[: 1 << 16] == -1).all()
    assert (table[24 << 16 :] == -1).all()
    assert len(table) == 25 << 16


# Keeping it, with a table that is quick to make


@pytest.fixture
def made(kept, monkeypatch):
    """The tables made so far."""
    tables = []

    def work_out(_):
        tables.append(np.full(25 << 16, len(tables), np.int32))
        return tables[-1]

    monkeypatch.setattr(module, "_work_out", work_out)
    return tables


def test_made_once(mesh, kept, made):
    assert byte_table(mesh)[0] == byte_table(mesh)[0] == 0
    assert len(made) == len(list(kept.iterdir())) == 1


def test_one_for_each_surface(mesh, made):
    byte_table(mesh)
    assert byte_table(replace(mesh, u=mesh.v, v=mesh.u))[0] == 1
    assert byte_table(mesh)[0] == 0


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY\x01\x00\x10\x00{}"])
def test_damaged_file(mesh, kept, made, content):
    byte_table(mesh)
    (path,) = kept.iterdir()
    path.write_bytes(content)
    assert byte_table(mesh)[0] == 1
    assert byte_table(mesh)[0] == 1


def test_file_of_something_else(mesh, kept, made):
    byte_table(mesh)
    (path,) = kept.iterdir()
    np.save(path, np.zeros(9, np.int32))
    assert byte_table(mesh)[0] == 1


def test_folder_that_cannot_be_written(mesh, made, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("IUV_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO):
        assert byte_table(mesh).shape == (25 << 16,)
    assert "the table of nearest vertices is not kept" in caplog.text
