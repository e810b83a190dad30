"""Left and right: where the surface points of a person lie on the person's mirror image.

The mirror image of a part is another part (`iuv.bodyparts.PART_MIRROR`), whose chart is cut and
laid out in its own way. So U and V change, too, by tables that come with the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS, PART_MIRROR
from iuv.data.records import DataError

__all__ = ["SYMMETRY_URL", "UVSymmetry", "read_symmetry"]

SYMMETRY_URL = "https://dl.fbaipublicfiles.com/densepose/data/UV_symmetry_transforms.mat"
"""The tables of the SMPL body, which DensePose-COCO is annotated with."""

_TABLE_SHAPE = (NUM_PARTS, 256, 256)
_NAMES = ("U_transforms", "V_transforms")
_PART_MIRROR = np.array(PART_MIRROR)

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class UVSymmetry:
    """Mirrored U and V of every point of every part.

    Raises:
        DataError: a table has another shape, or values that cannot be coordinates in 0..1.
    """

    u: _Floats
    """[24, 256, 256]: ``u[part - 1, 255 * v, 255 * u]``, both truncated, is the mirror image's U.
    The part is the original one, not its mirror image."""
    v: _Floats
    """The same for V."""

    def __post_init__(self) -> None:
        for name, table in (("U", self.u), ("V", self.v)):
            if table.shape != _TABLE_SHAPE or table.dtype != np.float32:
                raise DataError(
                    f"the symmetry table of {name} must be float32 {list(_TABLE_SHAPE)}, got "
                    f"{table.dtype} {list(table.shape)}"
                )
            low, high = float(table.min()), float(table.max())
            if not (low >= -0.5 and high <= 1.5):  # so that NaN fails too; interpolation overshoots
                raise DataError(
                    f"the symmetry table of {name} must hold coordinates in 0..1, but it goes "
                    f"from {low:g} to {high:g}"
                )

    def mirror(self, labels: _Ints, u: _Floats, v: _Floats) -> tuple[_Ints, _Floats, _Floats]:
        """Return part, U and V on the mirror image; background (label 0) stays as it is.

        U and V are truncated to multiples of 1/255, without interpolation, and clamped to 0..1
        before: parity with Detectron2, which does not clamp and fails.

        Args:
            labels: int64 [...], 0..24.
            u: float32 [...], broadcast with `labels`.
            v: likewise.
        """
        cell = np.maximum(labels, 1) - 1, _table_index(v), _table_index(u)
        on_body = labels > 0
        return (
            _PART_MIRROR[labels],
            np.where(on_body, self.u[cell], u),
            np.where(on_body, self.v[cell], v),
        )


def _table_index(coordinate: _Floats) -> _Ints:
    return (np.clip(coordinate, 0, 1) * np.float32(255)).astype(np.int64)


def read_symmetry(path: Path) -> UVSymmetry:
    """Read ``U_transforms`` and ``V_transforms`` from a file.

    Args:
        path: the official MATLAB file (`SYMMETRY_URL`), which has a cell per part, or an ``.npz``
            with two arrays [24, 256, 256] for another body.

    Raises:
        DataError: the file is missing or holds something else; the message says where to get it.
    """
    from scipy.io import loadmat  # the loader's workers do without

    if not path.is_file():
        raise DataError(f"{path}: there is no such file; download {SYMMETRY_URL} and put it there")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                tables = [np.asarray(arrays[name], np.float32) for name in _NAMES]
        else:
            cells = loadmat(path, variable_names=_NAMES)
            tables = [np.stack(cells[name].ravel()).astype(np.float32) for name in _NAMES]
    except Exception as error:  # On damaged files the decoders raise almost anything.
        raise DataError(
            f"{path}: is no file with the arrays {' and '.join(_NAMES)} ({error}); "
            f"the official one is {SYMMETRY_URL}"
        ) from error
    try:
        return UVSymmetry(*tables)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
