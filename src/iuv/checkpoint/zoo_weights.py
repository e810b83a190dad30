"""Where the weights of the zoo's models are: in the package, or fetched."""

from __future__ import annotations

from pathlib import Path

from iuv.checkpoint.download import fetch
from iuv.checkpoint.errors import CheckpointError
from iuv.zoo import ZooModel

__all__ = ["find_weights"]

_FOLDER = Path(__file__).parents[1] / "weights"


def find_weights(model: ZooModel) -> Path:
    """Return the file with a model's weights; a released model's is downloaded once.

    Raises:
        CheckpointError: the file that belongs into the package is not there.
        DownloadError: the file cannot be had or kept; says which file to put where.
    """
    if model.weights_url is not None:
        return fetch(model.weights_url)
    path = _FOLDER / f"{model.name}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{path}: the weights of {model.name} are missing in this installation of iuv; "
            "install it again"
        )
    return path
