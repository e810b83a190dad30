"""Which files of a folder are images."""

from __future__ import annotations

from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "is_image_file"]

# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".bmp", ".dib", ".gif",
    ".tif", ".tiff", ".tga", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm",
))
# fmt: on
"""What counts as an image in a folder or glob. A file named outright is tried whatever its name."""


def is_image_file(path: Path) -> bool:
    """Tell whether a file in a folder counts as an image."""
    # Hidden files are not photos: macOS leaves a "._photo.jpg" beside each on foreign disks.
    hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()
