"""The mirror image of every surface point, for flipping pictures of synthetic people."""

from __future__ import annotations

import numpy as np

from iuv.bodyparts import NUM_PARTS, PARTS
from iuv.data.symmetry import UVSymmetry
from iuv.synth.charts import mirrored_axis

__all__ = ["body_symmetry"]

_CELLS = 256


def body_symmetry() -> UVSymmetry:
    """Return the tables of our body, which is mirrored exactly.

    A cell holds the image of its middle, as tables are looked up with U and V cut to 1/255.
    """
    middle = np.minimum((np.arange(_CELLS) + 0.5) / (_CELLS - 1), 1).astype(np.float32)
    u = np.broadcast_to(middle[None, :], (NUM_PARTS, _CELLS, _CELLS)).copy()
    v = np.broadcast_to(middle[:, None], (NUM_PARTS, _CELLS, _CELLS)).copy()
    for part in PARTS:
        axis = mirrored_axis(part.index)
        table = {"u": u, "v": v}.get(axis)
        if table is not None:
            table[part.index - 1] = 1 - table[part.index - 1]
    return UVSymmetry(u, v)
