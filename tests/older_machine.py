"""Environment variables by which libraries compute as on an older processor."""

from __future__ import annotations

import importlib

import numpy as np


def older_machine() -> dict[str, str]:
    """For NumPy, BLAS and OpenCV, as far as they can do without newer instructions."""
    core = importlib.import_module("numpy._core" if hasattr(np, "_core") else "numpy.core")
    umath = core._multiarray_umath
    newer = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(newer),
        "OPENBLAS_CORETYPE": "Prescott",
        "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,AVX2,FMA3,AVX512-SKX",
        "OPENCV_IPP": "disabled",
    }
