"""What can go wrong with weights."""

from __future__ import annotations

__all__ = ["CheckpointError", "DownloadError"]


class CheckpointError(ValueError):
    """A weights file is damaged, unsafe, of an unknown kind, or does not fit the model."""


class DownloadError(OSError):
    """A file could not be fetched or kept; the message says which file to put where."""
