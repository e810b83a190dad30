"""Reading one image of any kind into uint8 RGB, and resizing it for the network.

Legend: H, W image height and width; h, w those of the network input; C channels.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "ChannelOrder",
    "ImageError",
    "ImageInput",
    "check_image",
    "input_size",
    "read_image",
    "resize",
]

ImageInput: TypeAlias = "str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | torch.Tensor"
ChannelOrder: TypeAlias = Literal["rgb", "bgr"]

MAX_PIXELS = 128 * 1024 * 1024
"""More is refused: 3 bytes each are 400 MB before any work has begun, while the network looks at
about one million pixels. Every camera up to 134 megapixels passes."""
MIN_SIDE = 2
"""A single row or column of pixels shows nobody; it is a mistake made further up."""

_Result = TypeVar("_Result")

_CHANNELS = (1, 3, 4)
_TOO_LARGE = (
    f"more than {MAX_PIXELS // 10**6} million pixels are not read; shrink it first "
    "(4000 pixels a side are plenty: the released models see at most 1333)"
)
_EXIF_ORIENTATION = 0x0112
# Orientation: (swap the axes, flip rows, flip columns), in this order of work.
_UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class _Reading(threading.local):
    """In a warning filter, in place of a module: matches what warns in a thread that reads a file.

    `warnings.catch_warnings` changes the filters of all threads, and puts back what was there when
    it began: after two threads have overlapped, that may be the other's.
    """

    is_on = False

    def match(self, _module: str) -> bool:
        return self.is_on


_READING = _Reading()
_QUIET: Any = ("ignore", None, Warning, _READING, 0)


class ImageError(ValueError):
    """An image cannot be read, or is not what an image should be."""


def read_image(source: ImageInput, *, channel_order: ChannelOrder = "rgb") -> npt.NDArray[np.uint8]:
    """Read an image as uint8 [H, W, 3], RGB, upright.

    Args:
        source: one of

            - a path: any format Pillow decodes; of an animation, the first frame;
            - a PIL image, in any mode that Pillow converts to RGB;
            - an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]: uint8, uint16 or floats in 0..1;
            - a tensor of the same kinds, or channels first: [1, H, W], [3, H, W] or [4, H, W].

            Grey is repeated, alpha and transparency are dropped (not blended), as Detectron2 does.
            16 bits become 8 by dropping the lower byte, as Pillow itself does for 16-bit colour.
            Floats are scaled by 255 and rounded.
        channel_order: order of an array's or tensor's channels. Files and PIL images know theirs.

    Returns:
        uint8 [H, W, 3], C-contiguous. The EXIF orientation of a file or PIL image is applied. An
        array or tensor that is so already is returned without a copy.

    Raises:
        ImageError: the source is missing, damaged, not an image, of a size outside `MIN_SIDE` and
            `MAX_PIXELS`, or of a shape, type or value range that does not say what it means.
    """
    if channel_order not in ("rgb", "bgr"):
        raise ImageError(f"channel_order must be 'rgb' or 'bgr', got {channel_order!r}")
    if isinstance(source, str | os.PathLike):
        return _with_file(Path(source), _from_pil)
    if isinstance(source, Image.Image):
        return _from_pil(source, f"the PIL image ({source.mode}, {source.width}x{source.height})")
    if isinstance(source, torch.Tensor):
        name = f"the tensor {tuple(source.shape)} of {source.dtype}"
        return _from_array(_channels_last(source, name), name, channel_order)
    if isinstance(source, np.ndarray):
        return _from_array(source, f"the array {source.shape} of {source.dtype}", channel_order)
    raise ImageError(
        f"cannot read an image from {type(source).__name__}; give a path, a PIL image, "
        "a numpy array or a torch tensor"
    )


def check_image(path: Path) -> None:
    """See that a file begins as an image does and is of a size that is read, without decoding it.

    Raises:
        ImageError: it is missing, not an image, or of a size outside `MIN_SIDE` and `MAX_PIXELS`.
    """
    _with_file(path, lambda image, name: _check_size(image.height, image.width, name))


def input_size(size: tuple[int, ...], short_side: int, long_side: int) -> tuple[int, int]:
    """Return (h, w): the short side as wanted, unless that makes the long side too long."""
    height, width = size
    scale = short_side / min(height, width)
    h, w = height * scale, width * scale
    if max(h, w) > long_side:
        shrink = long_side / max(h, w)
        h, w = h * shrink, w * shrink
    return max(int(h + 0.5), 1), max(int(w + 0.5), 1)


def resize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize [H, W, 3] to [h, w, 3] with Pillow's bilinear filter (parity with Detectron2)."""
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _with_file(path: Path, use: Callable[[Image.Image, str], _Result]) -> _Result:
    """Return what is made of a file, and its name; whatever goes wrong is an `ImageError`."""
    try:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, not an image; give the images in it")
        if path.exists() and not path.is_file():  # a pipe or device may never end
            raise ImageError(f"{path}: is no file but a pipe or device; save the image to a file")
        # Pillow warns of large images (MAX_PIXELS decides here) and of sloppy metadata.
        filters = cast("list[Any]", warnings.filters)
        filters[:0] = [] if filters[:1] == [_QUIET] else [_QUIET]
        _READING.is_on = True
        with Image.open(path) as image:
            return use(image, str(path))
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty (0 bytes); get it again") from None
        raise ImageError(
            f"{path}: not an image, or of a format Pillow cannot read; convert it to JPEG or PNG"
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: {_TOO_LARGE}") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # On damaged files the decoders raise almost anything.
        raise ImageError(f"{path}: damaged or incomplete ({error}); get it again") from error
    finally:
        _READING.is_on = False


def _from_pil(image: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    if image.format == "EPS":  # Pillow would run Ghostscript on it
        raise ImageError(
            f"{name}: is a PostScript program, not an image, and is not executed; "
            "convert it to JPEG or PNG"
        )
    _check_size(image.height, image.width, name)
    try:
        image.load()
    except Exception as error:  # On damaged files the decoders raise almost anything.
        raise ImageError(f"{name}: damaged or incomplete ({error}); get it again") from error
    _check_size(image.height, image.width, name)  # An icon tells its true size only now.
    if image.mode == "F" or image.mode.startswith("I"):
        pixels = _from_array(_deep_grey(image, name), name, "rgb")
    else:
        try:
            pixels = np.array(image.convert("RGB"))
        except ValueError:
            raise ImageError(
                f"{name}: its colours ({image.mode}) cannot be turned into RGB; "
                "save it as an RGB image first"
            ) from None
    orientation: Any = None
    with contextlib.suppress(Exception):  # Broken metadata is no reason to refuse the picture.
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    swap, flip_rows, flip_columns = _UPRIGHT.get(orientation, (False, False, False))
    upright = pixels.swapaxes(0, 1) if swap else pixels
    upright = upright[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return np.ascontiguousarray(upright)


def _deep_grey(image: Image.Image, name: str) -> npt.NDArray[Any]:
    """Return the pixels of a grey image of more than 8 bits: uint16, or float32 as they are."""
    grey = np.asarray(image)
    if image.mode == "F":
        return grey
    if grey.min() < 0 or grey.max() > 65535:
        raise ImageError(
            f"{name}: whole-number pixels must be 16 bit (0..65535), but they go from "
            f"{grey.min()} to {grey.max()}; scale them first"
        )
    return grey.astype(np.uint16)


def _channels_last(tensor: torch.Tensor, name: str) -> npt.NDArray[Any]:
    if tensor.ndim == 3:
        first, last = tensor.shape[0] in _CHANNELS, tensor.shape[2] in _CHANNELS
        if first and last:
            raise ImageError(
                f"{name}: either its first or its last dimension may be the channels; "
                "give a numpy array, whose channels come last"
            )
        if first:
            tensor = tensor.permute(1, 2, 0)
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy knows no bfloat16
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def _from_array(
    array: npt.NDArray[Any], name: str, channel_order: ChannelOrder
) -> npt.NDArray[np.uint8]:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in _CHANNELS:
        raise ImageError(
            f"{name}: expected one image of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] "
            "(tensors also channels first); transpose a channels-first array by "
            ".transpose(1, 2, 0), give a batch as list(batch)"
        )
    _check_size(array.shape[0], array.shape[1], name)
    pixels = _to_bytes(array, name)
    rgb = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    return np.ascontiguousarray(rgb if channel_order == "rgb" else rgb[..., ::-1])


def _to_bytes(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype.kind != "f":
        raise ImageError(
            f"{name}: pixels must be uint8 (0..255), uint16 (0..65535) or floats (0..1); "
            "convert them first"
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):  # so that NaN fails too
        raise ImageError(
            f"{name}: float pixels must be in 0..1, but they go from {low:g} to {high:g}; "
            "scale them first, e.g. divide by 255"
        )
    pixels: npt.NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return pixels


def _check_size(height: int, width: int, name: str) -> None:
    if min(height, width) < MIN_SIDE:
        raise ImageError(
            f"{name}: {width}x{height} pixels are too few; both sides need at least {MIN_SIDE}"
        )
    if height * width > MAX_PIXELS:
        raise ImageError(f"{name}: {width}x{height}: {_TOO_LARGE}")
