"""The charts of the body mean what those of DensePose mean: numbers measured on its surface."""

import numpy as np
import pytest

from iuv.bodyparts import PART_MIRROR
from iuv.synth.body import body_template
from iuv.synth.mesh import open_edges

# fmt: off
# Unit vectors that U and V grow along, on the whole, in the rest pose: x left, y up, z front.
DIRECTIONS = {
    1: ((0.02, -0.99, -0.11), (-1.00, -0.01, -0.02)),
    2: ((-0.03, -0.99, 0.14), (-1.00, 0.04, -0.01)),
    3: ((-0.70, 0.52, -0.49), (-0.87, 0.06, -0.49)), 4: ((-0.37, -0.83, 0.42), (0.86, 0.07, -0.50)),
    5: ((0.12, -0.30, 0.95), (-0.05, -0.26, 0.96)), 6: ((0.10, 0.30, -0.95), (0.08, -0.27, 0.96)),
    7: ((-0.11, -0.98, 0.18), (-0.98, 0.11, -0.16)), 8: ((0.10, -0.98, 0.18), (0.98, 0.09, -0.17)),
    9: ((-0.19, 0.98, 0.07), (0.79, 0.44, 0.43)), 10: ((0.19, 0.98, 0.08), (-0.78, 0.43, 0.46)),
    11: ((0.01, 1.00, -0.00), (-0.99, 0.01, 0.13)), 12: ((-0.01, 1.00, -0.00), (0.99, 0.01, 0.15)),
    13: ((-0.03, -0.99, -0.13), (-0.99, 0.01, 0.13)),
    14: ((0.03, -0.99, -0.14), (0.99, 0.00, 0.16)),
    15: ((0.97, -0.01, -0.23), (0.05, 0.95, 0.31)),
    16: ((-0.97, -0.01, -0.24), (-0.08, 0.95, 0.31)),
    17: ((0.98, 0.14, 0.11), (-0.35, 0.89, 0.28)), 18: ((-0.98, 0.14, 0.13), (0.33, 0.89, 0.31)),
    19: ((-0.98, -0.07, 0.18), (-0.30, -0.38, -0.87)),
    20: ((0.98, -0.06, 0.19), (0.31, -0.37, -0.88)),
    21: ((0.99, -0.03, 0.14), (-0.33, 0.34, 0.88)), 22: ((-0.99, -0.03, 0.16), (0.34, 0.34, 0.88)),
    23: ((0.16, -0.05, 0.99), (0.09, 1.00, 0.02)), 24: ((0.14, 0.06, -0.99), (-0.10, 0.99, 0.01)),
}
# U of hands and V of feet run around and have no direction.
ROUND = {(3, 0), (4, 0), (5, 1), (6, 1)}

# Of each left or middle part: its neighbours and the length of the border, in body heights.
NEIGHBOURS = {
    1: {2: 0.602, 7: 0.137, 8: 0.137, 17: 0.133, 18: 0.137, 23: 0.053, 24: 0.053},
    2: {1: 0.602, 9: 0.190, 10: 0.189, 15: 0.114, 16: 0.115, 23: 0.060, 24: 0.058,
        7: 0.015, 8: 0.015, 17: 0.016, 18: 0.017},
    4: {19: 0.042, 21: 0.053}, 5: {12: 0.064, 14: 0.071},
    8: {1: 0.137, 2: 0.015, 7: 0.146, 10: 0.485, 12: 0.089}, 10: {2: 0.189, 8: 0.485, 14: 0.123},
    12: {5: 0.064, 8: 0.089, 14: 0.421}, 14: {5: 0.071, 10: 0.123, 12: 0.421},
    15: {2: 0.114, 17: 0.301, 19: 0.072}, 17: {1: 0.133, 2: 0.016, 15: 0.301, 21: 0.080},
    19: {4: 0.042, 15: 0.072, 21: 0.304}, 21: {4: 0.053, 17: 0.080, 19: 0.304},
    24: {1: 0.053, 2: 0.058, 23: 0.426},
}
# Where parts meet: a point in the rest pose, and its place in their charts.
CORNERS = [
    ((0.036, 0.851, -0.008), {1: (0.00, 0.32), 2: (0.00, 0.36), 24: (0.61, 0.04)}),
    ((0.000, 0.849, -0.038), {1: (0.07, 0.50), 23: (0.03, 0.10), 24: (0.97, 0.10)}),
    ((0.102, 0.837, 0.006), {1: (0.03, 0.04), 2: (0.05, 0.18), 15: (0.02, 1.00), 17: (0.15, 1.00)}),
    ((0.002, 0.837, 0.029), {2: (0.08, 0.51), 23: (1.00, 0.00), 24: (0.00, 0.00)}),
    ((0.248, 0.821, -0.002),
     {15: (0.93, 0.82), 17: (1.00, 0.69), 19: (1.00, 0.00), 21: (0.10, 0.99)}),
    ((0.397, 0.797, -0.008), {19: (0.06, 0.12), 21: (1.00, 0.72)}),
    ((0.250, 0.781, -0.029),
     {15: (1.00, 0.16), 17: (0.90, 0.13), 19: (0.91, 0.93), 21: (0.01, 0.00)}),
    ((0.110, 0.748, -0.020), {1: (0.40, 0.00), 2: (0.26, 0.00), 17: (0.01, 0.10)}),
    ((0.108, 0.532, -0.009), {1: (0.99, 0.06), 2: (0.77, 0.00), 8: (0.11, 1.00), 10: (1.00, 0.16)}),
    ((0.000, 0.530, -0.069), {1: (1.00, 0.50), 7: (0.00, 0.47), 8: (0.00, 0.48)}),
    ((0.006, 0.466, 0.048), {2: (0.98, 0.46), 8: (0.36, 0.00), 10: (0.64, 1.00)}),
    ((0.089, 0.267, -0.010),
     {8: (1.00, 0.75), 10: (0.14, 0.00), 12: (0.99, 0.89), 14: (0.00, 1.00)}),
    ((0.021, 0.265, -0.015),
     {8: (0.98, 0.39), 10: (0.00, 0.67), 12: (0.98, 0.00), 14: (0.01, 0.00)}),
    ((0.075, 0.059, -0.019), {5: (0.22, 0.61), 12: (0.01, 0.76), 14: (0.98, 0.77)}),
    ((0.042, 0.057, -0.022), {12: (0.00, 0.12), 14: (0.99, 0.20)}),
]
AREAS = {  # percent of the surface
    1: 12.3, 2: 16.9, 4: 2.0, 5: 3.1, 8: 5.7, 10: 7.0, 12: 3.0, 14: 3.1, 15: 1.9, 17: 2.4, 19: 1.4,
    21: 1.6, 24: 4.0,
}
# fmt: on


@pytest.fixture(scope="module")
def body():
    return body_template()


def gradients(body, part):
    """Area-weighted mean over a part of the surface gradients of U and V: [2, 3]."""
    own = body.part == part
    a, b, c = (body.rest[body.faces[own, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    square = (normal**2).sum(axis=1, keepdims=True)
    good = square[:, 0] > 1e-16
    uv = body.corner_uv[own].astype(float)
    sums = []
    for k in range(2):
        step = uv[:, :, k]
        slope = np.cross(normal, c - b) * step[:, :1]
        slope += np.cross(normal, a - c) * step[:, 1:2] + np.cross(normal, b - a) * step[:, 2:]
        jump = np.ptp(step, axis=1) > 0.3  # across the cut of a hand or foot
        use = good & ~jump
        sums.append((slope / np.sqrt(np.maximum(square, 1e-30)))[use].sum(axis=0))
    return np.array(sums)


def borders(body):
    """Length of the border between every two parts that have one."""
    edges = {}
    lengths = {}
    for k in range(3):
        for face, (i, j) in enumerate(body.faces[:, [k, (k + 1) % 3]].tolist()):
            edges.setdefault((min(i, j), max(i, j)), []).append(int(body.part[face]))
    for (i, j), (one, other) in edges.items():
        if one != other:
            length = np.linalg.norm(body.rest[i] - body.rest[j])
            for pair in ((one, other), (other, one)):
                lengths[pair] = lengths.get(pair, 0.0) + length
    return lengths


def test_the_body_is_watertight_and_of_moderate_size(body):
    assert len(open_edges(body.faces)) == 0
    assert 5_000 <= len(body.rest) <= 20_000
    a, b, c = (body.rest[body.faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert 0.011 < volume < 0.019  # positive: triangles are counter-clockwise seen from outside


@pytest.mark.parametrize("part", range(1, 25))
def test_u_and_v_grow_along_the_measured_directions(body, part):
    for k, (mean, expected) in enumerate(zip(gradients(body, part), DIRECTIONS[part], strict=True)):
        if (part, k) not in ROUND:
            cosine = mean @ np.array(expected) / np.linalg.norm(mean) / np.linalg.norm(expected)
            assert cosine > np.cos(np.deg2rad(20)), (part, "UV"[k], mean / np.linalg.norm(mean))


@pytest.mark.parametrize("part", range(1, 25))
def test_charts_fill_their_square_in_one_piece(body, part):
    uv = body.corner_uv[body.part == part].reshape(-1, 2)
    assert uv.min() >= 0
    assert uv.max() <= 1
    assert np.ptp(uv[:, 0]) > 0.88
    assert np.ptp(uv[:, 1]) > 0.80


def test_parts_have_the_measured_neighbours(body):
    found = borders(body)
    for part, expected in NEIGHBOURS.items():
        own = {other: length for (one, other), length in found.items() if one == part}
        long = {other for other, length in own.items() if length > 0.03}
        assert long <= set(expected), part
        assert {other for other, length in expected.items() if length > 0.03} <= set(own), part
        for other, length in expected.items():
            if length > 0.03:
                assert own[other] == pytest.approx(length, rel=0.25), (part, other)


def test_parts_meet_at_the_measured_points(body):
    for place, charts in CORNERS:
        for part, expected in charts.items():
            faces = body.faces[body.part == part]
            far = np.linalg.norm(body.rest[faces] - np.array(place), axis=2)
            face, corner = np.unravel_index(far.argmin(), far.shape)
            assert far.min() < 0.015, (place, part)
            found = body.corner_uv[body.part == part][face, corner]
            assert found == pytest.approx(expected, abs=0.13), (place, part)


def test_parts_take_their_share_of_the_surface(body):
    a, b, c = (body.rest[body.faces[:, k]] for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    for part, share in AREAS.items():
        assert 100 * areas[body.part == part].sum() / areas.sum() == pytest.approx(
            share, rel=0.3
        ), part


def test_the_right_half_is_the_mirror_image_of_the_left(body):
    half = body.half
    assert body.rest[body.mirror] == pytest.approx(body.rest * (-1, 1, 1), abs=0)
    np.testing.assert_array_equal(body.faces[half:], body.mirror[body.faces[:half]][:, ::-1])
    np.testing.assert_array_equal(body.part[half:], np.array(PART_MIRROR)[body.part[:half]])
    left, right = body.corner_uv[:half], body.corner_uv[half:, ::-1]
    torso = np.isin(body.part[:half], (1, 2))
    turned = np.isin(body.part[:half], (4, 5, 24))
    expected = left.copy()
    expected[torso, :, 1] = 1 - left[torso, :, 1]
    expected[turned, :, 0] = 1 - left[turned, :, 0]
    np.testing.assert_array_equal(right, expected)


def test_hands_and_feet_have_two_sheets_that_do_not_overlap(body):
    for part in (4, 5):
        own = body.part == part
        signed = np.linalg.det(
            np.stack([body.corner_uv[own, k] - body.corner_uv[own, 0] for k in (1, 2)], axis=1)
        )
        a, b, c = (body.rest[body.faces[own, k]] for k in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        assert area[signed > 0].sum() > 0.85 * area.sum()  # right-handed seen from outside
