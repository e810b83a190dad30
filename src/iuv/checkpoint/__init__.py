"""Reading, converting, fetching and writing weights."""

from __future__ import annotations

from iuv.checkpoint.download import fetch
from iuv.checkpoint.errors import CheckpointError, DownloadError
from iuv.checkpoint.formats import read_config, read_state
from iuv.checkpoint.loading import guess_model_name, load_backbone, load_weights
from iuv.checkpoint.saving import save_weights
from iuv.checkpoint.zoo_weights import find_weights

__all__ = [
    "CheckpointError",
    "DownloadError",
    "fetch",
    "find_weights",
    "guess_model_name",
    "load_backbone",
    "load_weights",
    "read_config",
    "read_state",
    "save_weights",
]
