"""DensePose without Detectron2: from a photo to people, and for every pixel I, U and V.

import iuv

predict = iuv.load("R_50_FPN_s1x")
people = predict("photo.jpg")
people.iuv()  # uint8 [H, W, 3]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iuv.predictor import Predictor, load
    from iuv.results import People, Person
    from iuv.visualize.draw import draw
    from iuv.zoo import list_models

__version__ = "0.1.0"

__all__ = ["People", "Person", "Predictor", "__version__", "draw", "list_models", "load"]

# Resolved on first use, so that ``import iuv`` costs no more than torch and numpy.
_HOME = {
    "load": "iuv.predictor",
    "Predictor": "iuv.predictor",
    "People": "iuv.results",
    "Person": "iuv.results",
    "draw": "iuv.visualize.draw",
    "list_models": "iuv.zoo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'iuv' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
