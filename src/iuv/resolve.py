"""Which configuration and which weights file a user means."""

from __future__ import annotations

import os
from pathlib import Path

from iuv.checkpoint import find_weights, read_config
from iuv.config import ConfigError, ModelConfig
from iuv.detectron2_yaml import read_detectron2_yaml
from iuv.zoo import get_model

__all__ = ["limited", "resolve_model"]

_YAML = {".yaml", ".yml"}
_WEIGHTS = {".pkl", ".pth", ".pt", ".safetensors"}


def resolve_model(
    model: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    config: ModelConfig | str | os.PathLike[str] | None = None,
) -> tuple[ModelConfig, Path]:
    """Return the configuration and the weights file that `load`'s arguments mean.

    Raises:
        As `iuv.load`, for what has to do with finding them.
    """
    path = Path(model)
    is_yaml = path.suffix.lower() in _YAML
    if not is_yaml and (path.suffix.lower() in _WEIGHTS or path.is_file()):
        if weights is not None:
            raise ConfigError(f"{path} and weights={os.fspath(weights)!r}: give one weights file")
        found = read_config(_existing(path)) if config is None else _as_config(config)
        if found is None:
            raise ConfigError(
                f"{path} does not say which model it holds; name it, e.g. config='R_50_FPN_s1x' "
                "(--model R_50_FPN_s1x on the command line)"
            )
        return found, _existing(path)
    if config is not None:
        raise ConfigError(f"config= goes with a weights file, not with {os.fspath(model)!r}")
    if weights is not None:
        return _as_config(model), _existing(Path(weights))
    if is_yaml:
        raise ConfigError(f"{path} describes a model without weights; give weights=FILE too")
    row = get_model(os.fspath(model))
    return row.config, find_weights(row)


def _as_config(config: ModelConfig | str | os.PathLike[str]) -> ModelConfig:
    if isinstance(config, ModelConfig):
        return config
    if Path(config).suffix.lower() in _YAML:
        return read_detectron2_yaml(config)
    return get_model(os.fspath(config)).config


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    return path


def limited(
    config: ModelConfig,
    *,
    min_score: float,
    max_people: int,
    min_size: float,
    short_side: int | None,
    max_proposals: int | None,
) -> ModelConfig:
    """Return a configuration with the limits that `iuv.load` takes.

    Raises:
        ConfigError: a limit is out of range.
    """
    changes: dict[str, float | int] = {
        "box.min_score": min_score,
        "box.max_people": max_people,
        "box.min_size": min_size,
    }
    if short_side is not None:
        if not isinstance(short_side, int):
            raise ConfigError(f"short_side must be a whole number of pixels, got {short_side!r}")
        scale = short_side / config.input.short_side
        changes["input.short_side"] = short_side
        changes["input.long_side"] = max(round(config.input.long_side * scale), 1)
    if max_proposals is not None:
        changes["rpn.post_nms_topk"] = max_proposals
    return config.replace(**changes)
