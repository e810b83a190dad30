"""The forms of a network that are measured side by side."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import torch

from iuv import predictor
from iuv.bench.plain import PlainRCNN
from iuv.bench.scene import Scene
from iuv.bench.stages import TRUNK_PARTS, Trace, run_stages
from iuv.checkpoint import load_weights
from iuv.config import ModelConfig
from iuv.modeling.rcnn import RCNN
from iuv.runtime.eager import without_winograd
from iuv.runtime.engines import choose_engine
from iuv.runtime.memory import keep_freed_memory

__all__ = ["PLAIN", "REFERENCE", "Form", "FormName"]


class FormName(NamedTuple):
    """Which form of a network."""

    engine: str
    """One of `iuv.predictor.ENGINES`, or "plain"."""
    precision: str
    """One of `iuv.predictor.PRECISIONS`."""

    def resolved(self, device: torch.device, channels: int = 0) -> FormName:
        """Return the same with the engine that "auto" stands for.

        Raises:
            EngineError: the engine or the precision cannot be used here.
        """
        return self if self == PLAIN else FormName(*choose_engine(*self, device, channels))

    def __str__(self) -> str:
        return self.engine if self == PLAIN else f"{self.engine} {self.precision}"


PLAIN = FormName("plain", "fp32")
"""What ratios refer to."""

REFERENCE = FormName("eager", "fp32")
"""What agreement refers to."""

_DETECTION: dict[str, Any] = {"min_score": 0.5, "max_people": 100}
"""The defaults of `iuv.load`, for all forms."""


class Form(NamedTuple):
    """A network that is ready to run."""

    name: FormName
    """With the engine that "auto" stood for."""
    model: RCNN
    device: torch.device

    @classmethod
    def load(cls, name: FormName, config: ModelConfig, weights: Path, device: torch.device) -> Form:
        """Load weights into a form.

        Args:
            name: which.
            config: of the weights.
            weights: file.
            device: where to run.

        Raises:
            EngineError: the engine or the precision cannot be used here.
            CheckpointError: the weights are broken or do not fit the configuration.
            OSError: the engine's cache cannot be written.
        """
        if name != PLAIN:
            loaded = predictor.load(
                weights,
                config=config,
                device=device,
                engine=name.engine,
                precision=name.precision,
                **_DETECTION,
            )
            return cls(FormName(*loaded.choice), loaded.model, device)
        with torch.device("meta"):  # no initialisation: the weights are about to come
            model = PlainRCNN(config.replace(**{f"box.{k}": v for k, v in _DETECTION.items()}))
        load_weights(model, weights)
        return cls(name, model.eval().requires_grad_(False).to(device), device)

    def run(self, scene: Scene, *, count: bool = False) -> Trace:
        """Run a prediction on a scene; see `run_stages`."""
        keep_freed_memory(self.name != PLAIN)  # as the `iuv` command does
        inside = self.name.engine != "compile" and hasattr(
            self.model.trunk, next(iter(TRUNK_PARTS))
        )
        with without_winograd(self.model) if count else contextlib.nullcontext():
            return run_stages(self.model, scene, self.device, look_inside=inside, count=count)
