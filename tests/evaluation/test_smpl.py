"""The official three files: as they are, as they might be, and damaged."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from golden_evaluation import FOLDER, surface
from iuv.evaluation import smpl
from iuv.evaluation.meshes import MeshError
from iuv.evaluation.smpl import SMPL_FILES, fetch_smpl, load_smpl

GEODESIC = FOLDER / "geodesic"
CHARTS, TRANSFORM, DISTANCES = SMPL_FILES


@pytest.fixture
def folder(tmp_path):
    """A copy of the golden files, to change."""
    for name in SMPL_FILES:
        shutil.copy(GEODESIC / name, tmp_path)
    return tmp_path


def all_distances(mesh):
    a, b = np.tril_indices(480, -1)
    return mesh.geodesics.distances(a, b)


def test_golden_files():
    mesh = surface()
    assert mesh.parts.shape == (600,)
    assert np.bincount(mesh.parts).tolist() == [0, *[25] * 24]
    assert mesh.geodesics.num_vertices == 480
    assert sorted(set(mesh.vertices.tolist())) == list(range(480))
    with (GEODESIC / DISTANCES).open("rb") as file:
        expected = pickle.load(file, encoding="latin1")["Pdist_matrix"]
    np.testing.assert_array_equal(all_distances(mesh), expected[:, 0])


def test_index_stored_as_uint16(folder):
    shutil.copy(GEODESIC / "SMPL_SUBDIV_TRANSFORM_uint16.mat", folder / TRANSFORM)
    assert loadmat(folder / TRANSFORM)["index"].dtype == np.uint16
    mesh = load_smpl(folder)
    assert mesh.vertices.dtype == np.int64
    np.testing.assert_array_equal(mesh.vertices, surface().vertices)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_distances_saved_anew(folder, kind, protocol):
    """By Python 3, in another precision or byte order, as a row."""
    values = all_distances(surface()).astype(kind)
    with (folder / DISTANCES).open("wb") as file:
        pickle.dump({"Pdist_matrix": values}, file, protocol)
    np.testing.assert_array_equal(all_distances(load_smpl(folder)), values)


def test_distances_stay_in_their_file(folder):
    assert isinstance(load_smpl(folder).geodesics._values, np.memmap)


@pytest.mark.parametrize("name", SMPL_FILES)
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_smpl(folder)
    assert str(folder / name) in str(caught.value)
    assert f"https://dl.fbaipublicfiles.com/densepose/data/{name}" in str(caught.value)


@pytest.mark.parametrize("name", SMPL_FILES)
def test_files_are_fetched(monkeypatch, name):
    asked = []

    def fetch(url):
        asked.append(url)
        return GEODESIC / url.rpartition("/")[2]

    monkeypatch.setattr(smpl, "fetch", fetch)
    assert fetch_smpl().parts.shape == (600,)
    assert f"https://dl.fbaipublicfiles.com/densepose/data/{name}" in asked


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\0" * 600])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (CHARTS, "expected a MATLAB file with the array Part_ID_subdiv .* download it again from"),
        (TRANSFORM, "expected a MATLAB file with the array index"),
        (DISTANCES, "not a pickle .* download it again from https"),
    ],
)
def test_damaged_file(folder, name, message, content):
    (folder / name).write_bytes(content)
    with pytest.raises(MeshError, match=message) as caught:
        load_smpl(folder)
    assert str(caught.value).startswith(str(folder / name))


@pytest.mark.parametrize("cut", [100, 200_000])
def test_cut_off_distances(folder, cut):
    content = (folder / DISTANCES).read_bytes()
    (folder / DISTANCES).write_bytes(content[:-cut])
    with pytest.raises(MeshError, match=r"Pdist_matrix\.pkl: not a pickle .* cut off"):
        load_smpl(folder)


@pytest.mark.parametrize("data", [[1, 2], {"Pdist": 1}, {"Pdist_matrix": np.arange(3)}])
def test_pickle_of_something_else(folder, data):
    (folder / DISTANCES).write_bytes(pickle.dumps(data))
    with pytest.raises(
        MeshError, match="expected a dictionary with the array Pdist_matrix of floats"
    ):
        load_smpl(folder)


def test_pickle_that_would_run_something(folder):
    (folder / DISTANCES).write_bytes(b"cos\nsystem\n(S'echo hello'\ntR.")
    with pytest.raises(MeshError, match=r"refers to os\.system, but .* Nothing was executed"):
        load_smpl(folder)


def test_text_in_place_of_numbers(folder):
    savemat(folder / TRANSFORM, {"index": "one, two"})
    with pytest.raises(
        MeshError, match=r"TRANSFORM\.mat: expected a MATLAB file with the array in"
    ):
        load_smpl(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index + 0.5, "no whole number"),
        (lambda index: index - 1, r"vertices are -1\.\.478"),
        (lambda index: index * 9, r"there are distances between 480 vertices"),
        (lambda index: index[:, :-1], r"vertices must have shape \(600,\)"),
    ],
)
def test_files_that_do_not_fit(folder, change, message):
    index = loadmat(folder / TRANSFORM)["index"].astype(np.float64)
    savemat(folder / TRANSFORM, {"index": change(index)})
    with pytest.raises(MeshError, match=f"do not describe a surface.*{message}"):
        load_smpl(folder)
