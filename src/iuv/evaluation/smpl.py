"""The official surface of DensePose-COCO: SMPL's mesh, subdivided, from its three files.

M: vertices in the charts; G = 27,554 vertices of the surface in the official files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from iuv.checkpoint import CheckpointError, fetch
from iuv.checkpoint.unpickle import read_pickle
from iuv.evaluation.geodesics import PackedGeodesics
from iuv.evaluation.meshes import MeshError, SurfaceMesh

__all__ = ["SMPL_FILES", "fetch_smpl", "load_smpl"]

_ADDRESS = "https://dl.fbaipublicfiles.com/densepose/data"
_CHARTS, _TRANSFORM, _DISTANCES = SMPL_FILES = (
    "SMPL_subdiv.mat",
    "SMPL_SUBDIV_TRANSFORM.mat",
    "Pdist_matrix.pkl",
)


def fetch_smpl() -> SurfaceMesh:
    """Return the official surface, after downloading what is not in the cache yet (1.5 GB).

    Raises:
        DownloadError: a file cannot be had; says which file to put where.
        MeshError: a file is damaged.
    """
    return _read(*(fetch(f"{_ADDRESS}/{name}") for name in SMPL_FILES))


def load_smpl(folder: Path) -> SurfaceMesh:
    """Return the official surface from a folder with its three files.

    The distances stay in their file, which may be of any size; see `PackedGeodesics`.

    Raises:
        FileNotFoundError: a file is missing; says where to get it.
        MeshError: a file is damaged.
    """
    for name in SMPL_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is missing; download it from {_ADDRESS}/{name} and put it there"
            )
    return _read(*(folder / name for name in SMPL_FILES))


def _read(charts: Path, transform: Path, distances: Path) -> SurfaceMesh:
    names = ("Part_ID_subdiv", "U_subdiv", "V_subdiv")
    parts, u, v = (_variable(charts, name) for name in names)
    index = _variable(transform, "index")
    stored = _read_distances(distances)
    try:
        return SurfaceMesh(
            parts=_whole(parts),
            u=u,
            v=v,
            # Numbered from 1, and stored as uint16: in that type, products of ids overflow.
            vertices=_whole(index) - 1,
            geodesics=PackedGeodesics(stored),
        )
    except ValueError as error:
        paths = ", ".join(str(path) for path in (charts, transform, distances))
        raise MeshError(f"these files do not describe a surface: {paths}: {error}") from error


def _variable(path: Path, name: str) -> npt.NDArray[np.float64]:
    """Return one array of numbers of a MATLAB file, flat."""
    try:
        values = np.asarray(loadmat(path, variable_names=[name])[name])
        return values.astype(np.float64).ravel()
    # scipy fails in many ways on what is no such file: its own error, IndexError, zlib's ...
    except Exception as error:
        raise MeshError(
            f"{path}: expected a MATLAB file with the array {name} ({error!r}); download it again "
            f"from {_ADDRESS}/{path.name}"
        ) from error


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    if not (values == np.floor(values)).all():
        raise ValueError("a part or an index is no whole number")
    return values.astype(np.int64)


def _read_distances(path: Path) -> npt.NDArray[Any]:
    """Return the distances, memory-mapped where the pickle holds them as they are."""
    try:
        content = read_pickle(path, mapped=True)
    except CheckpointError as error:
        raise MeshError(f"{error}; download it again from {_ADDRESS}/{path.name}") from error
    values = content.get("Pdist_matrix") if isinstance(content, dict) else None
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise MeshError(f"{path}: expected a dictionary with the array Pdist_matrix of floats")
    if isinstance(values.base, np.memmap):
        start, shape = values.base.offset, (values.size,)
        return np.memmap(path, dtype=values.dtype, mode="r", offset=start, shape=shape)
    return np.ravel(values)
