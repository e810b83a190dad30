"""The mirror tables agree with the mirrored surface."""

import numpy as np
import pytest

from iuv.bodyparts import PART_MIRROR
from iuv.synth.body import body_template
from iuv.synth.person import rest_body
from iuv.synth.symmetry import body_symmetry, mesh_symmetry


@pytest.fixture(scope="module")
def samples():
    """Labels, U, V of points of the left half and of their mirror images: triangles' middles."""
    body = body_template()
    uv = body.corner_uv.mean(axis=1)
    jump = np.ptp(body.corner_uv, axis=1).max(axis=1) > 0.3
    good = ~jump[: body.half]
    return (
        body.part[: body.half][good].astype(np.int64), uv[: body.half][good],
        body.part[body.half :][good].astype(np.int64), uv[body.half :][good],
    )  # fmt: skip


def test_tables_name_the_mirror_image(samples):
    part, uv, other, other_uv = samples
    labels, u, v = body_symmetry().mirror(part, uv[:, 0], uv[:, 1])
    np.testing.assert_array_equal(labels, other)
    assert np.abs(np.stack([u, v], 1) - other_uv).max() < 1 / 255


def test_mirroring_twice_leads_back(samples):
    part, uv, _, _ = samples
    table = body_symmetry()
    labels, u, v = table.mirror(*table.mirror(part, uv[:, 0], uv[:, 1]))
    np.testing.assert_array_equal(labels, part)
    assert np.abs(np.stack([u, v], 1) - uv).max() < 2 / 255


def test_tables_of_any_mesh_come_out_alike(samples):
    part, uv, _, other_uv = samples
    labels, u, v = mesh_symmetry(rest_body()).mirror(part, uv[:, 0], uv[:, 1])
    np.testing.assert_array_equal(labels, np.array(PART_MIRROR)[part])
    error = np.abs(np.stack([u, v], 1) - other_uv).max(axis=1)
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.95) < 0.05
