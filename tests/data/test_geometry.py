import numpy as np
import pytest

from iuv.data.geometry import Geometry, apply, compose, invert, warp

SHEAR = np.array([[2.0, 0.5, 3.0], [-0.25, 1.5, -7.0]])
TURN = np.array([[0.0, 1.0, 5.0], [-1.0, 0.0, 2.0]])
XY = np.array([[0.0, 0.0], [10.0, 0.0], [3.5, -2.0]])


def test_compose_and_invert():
    np.testing.assert_allclose(apply(compose(TURN, SHEAR), XY), apply(TURN, apply(SHEAR, XY)))
    np.testing.assert_allclose(apply(invert(SHEAR), apply(SHEAR, XY)), XY, atol=1e-12)


def test_warp_moves_whole_pixels():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4) + 1
    moved = warp(image, np.array([[1.0, 0, 1], [0, 1, 0]]), (3, 4))
    np.testing.assert_array_equal(moved[:, 1:], image[:, :-1])
    assert (moved[:, 0] == 0).all()


def test_warp_scales_about_the_corner_not_the_first_pixels_centre():
    image = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    doubled = warp(image, np.array([[2.0, 0, 0], [0, 2, 0]]), (4, 6), nearest=True)
    np.testing.assert_array_equal(doubled, image.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("angle", [0, 360, -720])
def test_whole_turns_are_none(angle):
    assert Geometry.of((10, 20), (10, 20), flip=False, angle=angle).rotation is None


def test_rotation_is_counter_clockwise():
    image = np.zeros((9, 9, 3), np.uint8)
    image[0, 4] = 255  # top
    turned = Geometry.of((9, 9), (9, 9), flip=False, angle=90).image(image)
    assert turned[4, 0].tolist() == [255] * 3  # left
    assert turned.sum() == 3 * 255


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0, 30, -100])
def test_image_mask_and_points_go_the_same_way(flip, angle):
    height, width, size = 60, 80, (90, 120)
    mask = np.zeros((height, width), np.uint8)
    mask[15:25, 48:60] = 1
    centre = np.array([[54.0, 20.0]])
    geometry = Geometry.of((height, width), size, flip=flip, angle=angle)
    expected = geometry.turn(geometry.upright(centre))[0]
    image = geometry.image(np.repeat(mask[..., None] * 255, 3, axis=2))[..., 0]
    for moved in (geometry.mask(mask), image):
        assert moved.shape == size
        rows, columns = np.indices(size) + 0.5
        found = [(columns * moved).sum() / moved.sum(), (rows * moved).sum() / moved.sum()]
        np.testing.assert_allclose(found, expected, atol=0.3)
    assert set(np.unique(geometry.mask(mask))) == {0, 1}
