"""Texture transfer against the reference's own pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iuv.visualize.colors import grey_photo
from iuv.visualize.texture import draw_texture, read_atlas
from sample_people import VIS, photo, picture, sample_people


@pytest.mark.parametrize("which", ["inside", "outside"])
@pytest.mark.parametrize("kind", ["rgb", "rgba"])
def test_textures_equal_the_reference(kind: str, which: str) -> None:
    atlas = read_atlas(VIS / f"atlas_{kind}.png")
    assert atlas.shape == (96, 64, len(kind))
    drawn = draw_texture(grey_photo(photo()), sample_people(which), atlas)
    assert np.array_equal(drawn, picture(f"dp_iuv_texture_{kind}__{which}"))


def test_nobody_leaves_the_photo() -> None:
    people = sample_people()[:0]
    assert np.array_equal(draw_texture(photo(), people, read_atlas(VIS / "atlas_rgb.png")), photo())


@pytest.mark.parametrize("shape", [(96, 96, 3), (97, 64, 3), (96, 64), (64, 96, 3), (96, 64, 2)])
def test_another_layout_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not a texture atlas: expected .* 6 rows and 4 columns"):
        draw_texture(photo(), sample_people(), np.zeros(shape, dtype=np.uint8))


def test_an_atlas_file_of_another_layout_is_named(tmp_path: Path) -> None:
    path = tmp_path / "texture.png"
    Image.new("RGB", (100, 100)).save(path)
    with pytest.raises(ValueError, match=r"texture\.png is not a texture atlas.*\(100, 100, 3\)"):
        read_atlas(path)
