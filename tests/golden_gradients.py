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
    values = gradient.flatten()
    total = values.abs().sum(dtype=torch.float64).item()
    assert total == pytest.approx(golden["abssum"], rel=TOLERANCE)
    if "nonzero" in golden:
        assert values.count_nonzero() == golden["nonzero"]
        sums = values.sum(dtype=torch.float64).item(), golden["sum"]
        assert sums[0] == pytest.approx(sums[1], abs=TOLERANCE * total)
    if golden.get("index"):
        limit = TOLERANCE * values.abs().max().item()
        np.testing.assert_allclose(values[golden["index"]], golden["value"], rtol=0, atol=limit)
