import re

import numpy as np
import pytest
from scipy.io import savemat

from hashing import uniform
from iuv.bodyparts import NUM_PARTS, PART_MIRROR
from iuv.data.records import DataError
from iuv.data.symmetry import SYMMETRY_URL, UVSymmetry, read_symmetry

SHAPE = (NUM_PARTS, 256, 256)


def tables():
    half = np.float32(0.5)
    return [uniform(f"sym/{axis}", SHAPE) * half + half for axis in "UV"]


def mirror(symmetry, labels, u, v):
    return symmetry.mirror(np.array(labels), np.float32(u), np.float32(v))


def test_looked_up_by_the_original_part_and_truncated_coordinates():
    u, v = tables()
    labels, new_u, new_v = mirror(UVSymmetry(u, v), [3, 24], [0.5, 0.999], [0.25, 0.0])
    assert labels.tolist() == [PART_MIRROR[3], PART_MIRROR[24]]
    assert new_u.tolist() == [u[2, 63, 127], u[23, 0, 254]]
    assert new_v.tolist() == [v[2, 63, 127], v[23, 0, 254]]


def test_background_stays():
    labels, u, v = mirror(UVSymmetry(*tables()), [0], [0.3], [0.7])
    assert (labels, u, v) == (0, np.float32(0.3), np.float32(0.7))


def test_beyond_the_chart_is_its_border():
    u, v = tables()
    _, new_u, new_v = mirror(UVSymmetry(u, v), [1, 1], [-0.1, 1.5], [1.01, -3])
    assert new_u.tolist() == [u[0, 255, 0], u[0, 0, 255]]
    assert new_v.tolist() == [v[0, 255, 0], v[0, 0, 255]]


def test_shapes_are_kept_and_broadcast():
    symmetry = UVSymmetry(*tables())
    maps = np.random.default_rng(0).random((2, 3, 5), np.float32)
    labels, u, v = symmetry.mirror(np.array([[[4]], [[0]]]), maps, maps)
    assert labels.shape == (2, 1, 1)
    assert u.shape == v.shape == (2, 3, 5)
    np.testing.assert_array_equal(u[1], maps[1])


def cells(table):
    """A MATLAB cell array 1 x 24, of doubles as in the official file."""
    array = np.empty((1, NUM_PARTS), object)
    array[0] = list(table.astype(np.float64))
    return array


@pytest.mark.parametrize("suffix", ["mat", "npz"])
def test_files(tmp_path, suffix):
    u, v = tables()
    path = tmp_path / f"body.{suffix}"
    if suffix == "mat":
        savemat(path, {"U_transforms": cells(u), "V_transforms": cells(v)})
    else:
        np.savez(path, U_transforms=u, V_transforms=v)
    symmetry = read_symmetry(path)
    np.testing.assert_array_equal(symmetry.u, u)
    np.testing.assert_array_equal(symmetry.v, v)


def test_missing_file(tmp_path):
    path = tmp_path / "UV_symmetry_transforms.mat"
    with pytest.raises(DataError, match="there is no such file; download https") as error:
        read_symmetry(path)
    assert str(path) in str(error.value)
    assert SYMMETRY_URL in str(error.value)


@pytest.mark.parametrize("suffix", ["mat", "npz"])
def test_something_else(tmp_path, suffix):
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(b"<html>Not found</html>" * 20)
    with pytest.raises(DataError, match=re.escape(f"{path}: is no file with the arrays U_tr")):
        read_symmetry(path)


def test_a_truncated_file(tmp_path):
    path = tmp_path / "half.mat"
    savemat(path, {"U_transforms": cells(tables()[0]), "V_transforms": cells(tables()[1])})
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"half\.mat: is no file with the arrays"):
        read_symmetry(path)


def test_a_file_without_the_tables(tmp_path):
    path = tmp_path / "body.npz"
    np.savez(path, U_transforms=tables()[0])
    with pytest.raises(DataError, match="V_transforms"):
        read_symmetry(path)


def test_a_file_with_pickles_is_not_executed(tmp_path):
    path = tmp_path / "body.npz"
    np.savez(path, U_transforms=np.array([{}]), V_transforms=np.array([{}]))
    with pytest.raises(DataError, match="allow_pickle"):
        read_symmetry(path)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((24, 128, 128), "float32"), ((14, 256, 256), "float32"), (SHAPE, "float64")],
)
def test_wrong_shape(shape, kind):
    table = np.zeros(shape, kind)
    expected = f"the symmetry table of U must be float32 [24, 256, 256], got {kind} {list(shape)}"
    with pytest.raises(DataError, match=re.escape(expected)):
        UVSymmetry(table, table)


@pytest.mark.parametrize(("value", "shown"), [(255, "0 to 255"), (np.nan, "nan to nan")])
def test_no_coordinates(tmp_path, value, shown):
    u, v = np.zeros((2, *SHAPE), np.float32)
    v[3, 4, 5] = value
    path = tmp_path / "body.npz"
    np.savez(path, U_transforms=u, V_transforms=v)
    with pytest.raises(DataError, match=f"body.npz: the symmetry table of V .* from {shown}"):
        read_symmetry(path)
