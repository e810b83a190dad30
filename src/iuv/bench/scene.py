"""What a measurement looks at: a photo, its size for the network, and how many people.

H x W: a photo as given. h x w: the network's input. P: people.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iuv.config import InputConfig
from iuv.images import input_size, read_image, resize

__all__ = ["Scene", "default_size", "people_in_a_row", "write_photo"]

_PORTRAIT = Path(__file__).parents[1] / "demo" / "astronaut.jpg"
_PHOTO_SIZE = (600, 1116)
"""Height and width of a photo that the published models see at 717 x 1333."""
_PERSON = 480 / 717
"""Height of a person in parts of the input's height; that is 480 of 717 pixels."""
_TOP = 100 / 717


class Scene(NamedTuple):
    """One thing to compute."""

    photo: Path
    size: tuple[int, int]
    """(h, w) of the network's input, without padding."""
    batch: int = 1
    """The photo goes through the network so many times at once."""
    people: int | None = None
    """How many: boxes in a row, whatever the network finds; None: those whom it finds."""


def default_size(config: InputConfig, photo: Path | None = None) -> tuple[int, int]:
    """Return the (h, w) at which a model sees a photo; without one, of 600 x 1116 pixels.

    Raises:
        ImageError: the photo cannot be read.
    """
    size = _PHOTO_SIZE if photo is None else read_image(photo).shape[:2]
    return input_size(size, config.short_side, config.long_side)


def people_in_a_row(people: int, size: tuple[int, int]) -> Tensor:
    """Return P boxes, float32 [P, 4] xyxy in pixels of the input, evenly spread over its width.

    Twice as high as wide; in an input of 717 x 1333, 240 x 480 pixels.
    """
    height = round(size[0] * _PERSON)
    width = min(height // 2, size[1])
    left = torch.linspace(0, size[1] - width, people).floor()
    top = torch.full((people,), float(round(size[0] * _TOP)))
    return torch.stack([left, top, left + width, top + height], dim=1)


def write_photo(path: Path, size: tuple[int, int]) -> None:
    """Write a JPEG that is seen at (h, w) after it is enlarged, as photos of 600 x 1116 are.

    It shows portraits side by side, so that decoding and proposals have a photo's work.
    """
    height, width = (round(side * _PHOTO_SIZE[1] / 1333) or 1 for side in size)
    portrait = resize(read_image(_PORTRAIT), (height, height))
    row = np.tile(portrait, (1, -(-width // height), 1))[:, :width]
    Image.fromarray(row).save(path, quality=90)
