"""The golden data set: five images with everything that annotations may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden" / "training"
ANNOTATIONS = FOLDER / "data" / "dataset.json"


def golden(section: str) -> Any:
    """A section of data.json."""
    return json.loads((FOLDER / "data.json").read_text(encoding="utf-8"))[section]


def document() -> dict[str, Any]:
    """The annotation file, to be changed."""
    return json.loads(ANNOTATIONS.read_text(encoding="utf-8"))
