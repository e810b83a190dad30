"""Rounding by which the same seed gives the same picture on every machine.

Sine, powers and sums of products differ in their last bit between processors and libraries. What
is computed with them is rounded to a grid before anything else depends on it; after that come only
operations that all machines round alike: + - x / and the square root, one array at a time, and
integers. BLAS (`@` of arrays) and sums whose order is the processor's are not among them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["on_grid"]


def on_grid(values: npt.NDArray[np.floating[Any]], bits: int = 16) -> npt.NDArray[np.float64]:
    """Return values, of any shape, rounded to multiples of 2^-bits.

    Args:
        values: lengths in metres or body heights, or the elements of rotations.
        bits: how fine the grid is.
    """
    steps = 2.0**bits
    rounded: npt.NDArray[np.float64] = np.round(values * steps) / steps
    return rounded
