"""The vertex next to each I, U, V that a prediction can say, worked out once per surface.

Predictions are bytes, so there are 24 x 256 x 256 of them; the table is kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS
from iuv.checkpoint.download import cache_folder
from iuv.evaluation.meshes import SurfaceMesh
from iuv.writers.atomic import atomic_write

__all__ = ["byte_table"]

_log = logging.getLogger(__name__)

_LENGTH = (NUM_PARTS + 1) << 16


def byte_table(mesh: SurfaceMesh) -> npt.NDArray[np.int32]:
    """Return [25 * 65536]: the vertex next to each (label, U * 255, V * 255), -1 for label 0.

    The index is made of the three bytes, ``label << 16 | u << 8 | v``. A cache folder that cannot
    be written costs a second each time, no more.
    """
    digest = hashlib.sha256()
    for values in (mesh.parts, mesh.u, mesh.v, mesh.vertices):
        digest.update(np.ascontiguousarray(values).tobytes())
    path = cache_folder() / "nearest" / f"{digest.hexdigest()[:32]}.npy"
    try:
        table = np.load(path, allow_pickle=False)
        if table.shape == (_LENGTH,) and table.dtype == np.int32:
            return np.asarray(table)
    except (OSError, ValueError, EOFError):  # absent or damaged
        pass
    table = _work_out(mesh)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.save(file, table)
    except OSError as error:
        _log.info("the table of nearest vertices is not kept: %s", error)
    return table


def _work_out(mesh: SurfaceMesh) -> npt.NDArray[np.int32]:
    labels, u, v = np.indices((NUM_PARTS, 256, 256)).reshape(3, -1)
    table = np.full(_LENGTH, -1, dtype=np.int32)
    table[1 << 16 :] = mesh.nearest(labels + 1, u / 255, v / 255)
    return table
