"""What downstream tools expect: one row per preset, and what turns a row into arrays.

A photo goes through a preset in three steps; nothing here reads or writes files::

    preset = get_preset("viton_hd")
    people = predict(prepare(preset, image))  # at the size the tool works with
    for suffix, array in apply_preset(preset, image, people): ...

Arrays are RGB or have a single channel; an RGB array is to be written so that a viewer shows these
very colours. Sizes in the table are (width, height), as the tools themselves write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.Image import Resampling

from iuv.results import ByteArray, People, Selection
from iuv.visualize.draw import check_fits
from iuv.visualize.layouts import (
    Layout,
    colored,
    iuv,
    labels,
    labels_rgb,
    uv_float,
    uvi_stretched,
    vui_and_instances,
)

__all__ = [
    "PRESETS",
    "NobodyFoundError",
    "Preset",
    "PresetError",
    "apply_preset",
    "get_preset",
    "prepare",
]

_MAX_PIXELS = 1 << 26  # Of a resized photo: 512 pixels high, it may be 131072 wide.

Size = tuple[int, int]
SizeRule = Callable[[Size], Size]


class PresetError(ValueError):
    """No preset has this name, or it cannot be applied."""


class NobodyFoundError(PresetError):
    """The preset needs a person and there is none."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What one downstream tool expects."""

    name: str
    tool: str
    """The tool that reads the result."""
    layout: Layout
    model: str | None = None
    """The zoo model the tool was made with; None: any."""
    min_score: float = 0.5
    """The tool's own, or else this package's default."""
    person: Selection = "all"
    """Whom to show, unless asked for somebody else."""
    needs_person: bool = False
    """Nobody is an error; otherwise nobody is an empty canvas."""
    suffixes: tuple[str, ...] = (".png",)
    """How the names of the files end, one for each array of the layout."""
    input_size: SizeRule | None = None
    """Photo's size → size to predict at (Pillow bicubic); None: the photo's."""
    output_size: SizeRule | None = None
    """Photo's size → size of the arrays; None: the size predicted at."""
    output_filter: Resampling = Resampling.NEAREST

    @property
    def is_picture(self) -> bool:
        """Whether its arrays are for the eye; those of others are numbers, and must stay exact."""
        return self.layout not in _NUMBERS


def _exactly(width: int, height: int) -> SizeRule:
    return lambda size: (width, height)


def _as_given(size: Size) -> Size:
    return size


def _long_side_at_most(pixels: int) -> SizeRule:
    return lambda size: _scaled(size, min(1.0, pixels / max(size)))


def _short_side(pixels: int) -> SizeRule:
    return lambda size: _scaled(size, pixels / min(size))


def _scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


_NUMBERS = (labels, labels_rgb, iuv, vui_and_instances, uvi_stretched, uv_float)
_BLACK_PARULA = colored("parula", canvas="black", alpha=1.0)
_VIRIDIS = colored("viridis", canvas="viridis", alpha=1.0)

_TABLE = (
    Preset(
        name="detectron2_segm",
        tool="Detectron2's own picture (dp_segm)",
        layout=colored("parula", canvas="photo", alpha=0.7),
        min_score=0.8,
    ),
    Preset(
        name="viton_hd",
        tool="VITON-HD, HR-VITON: image-densepose",
        layout=_BLACK_PARULA,
        model="R_50_FPN_s1x",
        input_size=_exactly(768, 1024),
    ),
    Preset(
        name="idm_vton",
        tool="IDM-VTON",
        layout=_BLACK_PARULA,
        model="R_50_FPN_s1x",
        min_score=0.8,
        person="best",
        input_size=_exactly(384, 512),
        output_size=_exactly(768, 1024),
        output_filter=Resampling.BICUBIC,
    ),
    Preset(
        name="catvton_labels",
        tool="CatVTON",
        layout=labels,
        model="R_50_FPN_s1x",
        min_score=0.8,
        person="best",
        input_size=_long_side_at_most(1024),
        output_size=_as_given,
    ),
    Preset(
        name="leffa_viton_hd",
        tool="Leffa, try-on on VITON-HD",
        layout=_BLACK_PARULA,
        model="R_50_FPN_s1x",
        input_size=_exactly(768, 1024),
    ),
    Preset(
        name="leffa_dress_code",
        tool="Leffa, try-on on DressCode",
        layout=labels_rgb,
        model="R_50_FPN_s1x",
        person="best",
    ),
    Preset(
        name="leffa_pose_transfer",
        tool="Leffa, pose transfer",
        layout=uvi_stretched,
        model="R_50_FPN_s1x",
        person="best",
        needs_person=True,
        output_size=_exactly(768, 1024),
    ),
    Preset(
        name="magic_animate",
        tool="MagicAnimate",
        layout=_VIRIDIS,
        model="R_50_FPN_s1x",
    ),
    Preset(
        name="vid2densepose",
        tool="Vid2DensePose",
        layout=colored("viridis", canvas="viridis", alpha=0.7),
        model="R_50_FPN_s1x",
        min_score=0.05,
    ),
    Preset(
        name="controlnet_viridis",
        tool="ControlNet in ComfyUI and A1111, VIRIDIS",
        layout=_VIRIDIS,
        model="R_50_FPN_DL_s1x",
        input_size=_short_side(512),
    ),
    Preset(
        name="controlnet_parula",
        tool="ControlNet in ComfyUI and A1111, PARULA",
        layout=_BLACK_PARULA,
        model="R_50_FPN_DL_s1x",
        input_size=_short_side(512),
    ),
    Preset(
        name="caffe2_iuv",
        tool="scripts written for DensePose-1",
        layout=vui_and_instances,
        model="DensePose_ResNet101_FPN_s1x-e2e",
        suffixes=("_IUV.png", "_INDS.png"),
    ),
    Preset(
        name="pose_with_style",
        tool="Pose with Style",
        layout=iuv,
        model="R_101_FPN_DL_s1x",
    ),
    Preset(
        name="dreampose_npy",
        tool="DreamPose",
        layout=uv_float,
        person="best",
        needs_person=True,
        suffixes=("_densepose.npy",),
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _TABLE})
"""All presets by name."""


def get_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        PresetError: there is none; the message lists the nearest names.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"choose from {', '.join(PRESETS)}"
        raise PresetError(f"unknown preset {name!r}; {hint}")
    return PRESETS[name]


def prepare(preset: Preset, image: ByteArray) -> ByteArray:
    """Bring a photo, RGB uint8 [H, W, 3], to the size at which the preset wants it predicted.

    The photo is stretched where its shape differs from the tool's: crop it beforehand.

    Raises:
        PresetError: that size is beyond any memory, as the photo is a long strip.
    """
    if preset.input_size is None:
        return image
    width, height = preset.input_size(_size(image))
    if width * height > _MAX_PIXELS:
        raise PresetError(
            f"the preset {preset.name} would resize this image of {_size(image)[0]}x"
            f"{_size(image)[1]} to {width}x{height}; crop it first"
        )
    return _resized(image, (width, height), Resampling.BICUBIC)


def apply_preset(
    preset: Preset, image: ByteArray, people: People, person: Selection | None = None
) -> list[tuple[str, npt.NDArray[Any]]]:
    """Return the files of one image as (end of the file's name, array).

    Args:
        preset: a row of `PRESETS`.
        image: the photo before `prepare`, RGB uint8 [H, W, 3].
        people: the people in ``prepare(preset, image)``.
        person: whom to show; None: as the preset says.

    Raises:
        NobodyFoundError: the preset needs a person and there is none.
        ValueError: the people were found in an image of another size than the prepared one.
    """
    photo = prepare(preset, image)
    check_fits(photo, people)
    which = preset.person if person is None else person
    shown = people.select(which)
    if preset.needs_person and not shown:
        raise NobodyFoundError(
            f"the preset {preset.name} needs a person: {len(people)} found, {which!r} asked for; "
            "lower the minimum score, ask for another person, or leave this image out"
        )
    arrays = preset.layout(photo, shown)
    if preset.output_size is not None:
        size = preset.output_size(_size(image))
        arrays = tuple(_resized(array, size, preset.output_filter) for array in arrays)
    return list(zip(preset.suffixes, arrays, strict=True))


def _size(image: ByteArray) -> Size:
    return image.shape[1], image.shape[0]


def _resized(image: npt.NDArray[Any], size: Size, resampling: Resampling) -> npt.NDArray[Any]:
    if _size(image) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, resampling))
