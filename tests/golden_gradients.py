"""Gradients as the golden files under tests/golden/training describe them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

TOLERANCE = 1e-5


def check_gradient(gradient: torch.Tensor | None, golden: dict | None) -> None:
    """Compare a gradient with its golden sums and samples."""
    if golden is None:
        assert gradient is None
        return
    assert gradient is not None
    values = gradient.double().flatten().numpy()
    exact = {key: golden[key] for key in ("sum", "nonzero") if key in golden}
    assert np.abs(values).sum() == pytest.approx(golden["abssum"], rel=TOLERANCE)
    if "nonzero" in exact:
        assert np.count_nonzero(values) == exact["nonzero"]
        assert values.sum() == pytest.approx(golden["sum"], abs=TOLERANCE * golden["abssum"])
    if golden.get("index"):
        atol = TOLERANCE * np.abs(values).max()
        np.testing.assert_allclose(values[golden["index"]], golden["value"], rtol=0, atol=atol)
