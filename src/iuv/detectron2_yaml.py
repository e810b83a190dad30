"""Read a Detectron2 DensePose configuration file (YAML, with ``_BASE_``) into one of ours.

As in Detectron2, what a file and its bases leave out has the library's defaults, which are not
those of the DensePose models.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from iuv.config import ConfigError, ModelConfig
from iuv.detectron2_keys import (
    BASE,
    ELSEWHERE,
    FIELDS,
    FIXED,
    FIXED_DEFAULTS,
    HEAD_NAMES,
    TRAINING_BASE,
    TRAINING_FIELDS,
    TRAINING_FIXED,
    Field,
)
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from iuv.zoo import UnknownModelError, get_model

__all__ = ["read_detectron2_training", "read_detectron2_yaml"]

_Settings = dict[str, Any]  # dotted key → value, e.g. {"MODEL.RESNETS.DEPTH": 50}

_DENSE = "MODEL.ROI_DENSEPOSE_HEAD"
_DEFAULTS = {**FIXED, **FIXED_DEFAULTS, **{key: field.default for key, field in FIELDS.items()}}
_TRAINING_DEFAULTS = {
    **TRAINING_FIXED,
    **{key: field.default for key, field in TRAINING_FIELDS.items()},
}
_MAX_ALIASES = 20  # Each may repeat others, so that a few lines unfold without end.
_KEY_OF_FIELD = {field.field: key for key, field in {**FIELDS, **TRAINING_FIELDS}.items()}


def read_detectron2_yaml(path: str | os.PathLike[str]) -> ModelConfig:
    """Read a Detectron2 configuration file of a chart model on a ResNet.

    ``_BASE_`` may be relative to its file, absolute, begin with ``~``, or be a list merged in
    order. A base that is missing on disk but has the name of an official configuration
    (``Base-DensePose-RCNN-FPN.yaml``, ``densepose_rcnn_R_50_FPN_s1x.yaml``, ...) is known here, so
    that a single file of a user is enough. Parity with Detectron2's effective configuration.

    Raises:
        ConfigError: the file or a base cannot be read or found, or has settings that are not
            supported; the message lists all of them with what is supported.
    """
    file = Path(os.path.expanduser(path))
    settings = _read(file, ())
    try:
        return _convert(settings)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def read_detectron2_training(path: str | os.PathLike[str]) -> TrainingConfig:
    """Read a Detectron2 configuration file as `read_detectron2_yaml` does, with its training.

    The learning rate is for the file's own batch size.

    Raises:
        ConfigError: as `read_detectron2_yaml`, and for what our trainer does not do.
    """
    file = Path(os.path.expanduser(path))
    settings = _read(file, ())
    try:
        return _convert_training(_convert(settings), settings)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _read(file: Path, children: tuple[Path, ...]) -> _Settings:
    """Read a file over its bases; `children` are the resolved files whose bases led here."""
    chain = (*children, file.resolve())
    if chain[-1] in children:
        raise ConfigError(f"_BASE_ goes in a circle: {' -> '.join(map(str, chain))}")
    own = _parse(file)
    bases = own.pop("_BASE_", [])
    settings: _Settings = {}
    for base in bases if isinstance(bases, list) else [bases]:
        settings.update(_read_base(base, file, chain))
    return settings | own


def _read_base(base: Any, file: Path, chain: tuple[Path, ...]) -> Mapping[str, Any]:
    if not isinstance(base, str):
        raise ConfigError(f"{file}: _BASE_ must be a path or a list of paths, got {base!r}")
    if "://" in base:
        raise ConfigError(
            f"{file}: _BASE_ is an address, {base}; download that file and name the local copy"
        )
    path = file.parent / os.path.expanduser(base)
    if path.exists():
        return _read(path, chain)
    official = _official(path)
    if official is None:
        raise ConfigError(f"{file}: its _BASE_ {base!r} does not exist (looked for {path})")
    return official


def _official(path: Path) -> Mapping[str, Any] | None:
    """Return what the official configuration of this file name sets, or None if there is none."""
    # CSE's own folder repeats the names of the chart configurations with other contents.
    if path.parent.name == "cse":
        return None
    if path.name == "Base-DensePose-RCNN-FPN.yaml":
        return {**BASE, **TRAINING_BASE}
    name = re.fullmatch(r"densepose_rcnn_(\w+)\.yaml", path.name)
    try:
        config = get_model(name[1] if name else "").config
    except UnknownModelError:
        return None
    dense, training = config.dense, recipe(config)
    return {
        **BASE,
        **TRAINING_BASE,
        "MODEL.RESNETS.DEPTH": config.backbone.depth,
        f"{_DENSE}.NAME": HEAD_NAMES[dense.head],
        f"{_DENSE}.DECODER_ON": dense.decoder,
        f"{_DENSE}.POOLER_RESOLUTION": dense.pool_size,
        f"{_DENSE}.HEATMAP_SIZE": dense.heatmap_size,
        f"{_DENSE}.NUM_COARSE_SEGM_CHANNELS": dense.coarse_channels,
        f"{_DENSE}.UV_CONFIDENCE.ENABLED": dense.uv_confidence is not None,
        f"{_DENSE}.UV_CONFIDENCE.TYPE": dense.uv_confidence or "iid_iso",
        f"{_DENSE}.SEGM_CONFIDENCE.ENABLED": dense.segm_confidence,
        f"{_DENSE}.INDEX_WEIGHTS": training.losses.segm_weight,
        f"{_DENSE}.PART_WEIGHTS": training.losses.part_weight,
        f"{_DENSE}.POINT_REGRESSION_WEIGHTS": training.losses.points_weight,
        "SOLVER.BASE_LR": training.solver.base_lr,
        "SOLVER.MAX_ITER": training.solver.max_iter,
        "SOLVER.STEPS": list(training.solver.steps),
        "SOLVER.WARMUP_FACTOR": training.solver.warmup_factor,
        "SOLVER.CLIP_GRADIENTS.ENABLED": training.solver.clip != "none",
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm" if training.solver.clip == "norm" else "value",
        "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": training.solver.clip_limit,
    }


def _parse(file: Path) -> _Settings:
    """Read one file, without its bases; only plain YAML, since a tag could run code."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such configuration file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        events = yaml.parse(content, yaml.SafeLoader)
        if sum(isinstance(event, yaml.AliasEvent) for event in events) > _MAX_ALIASES:
            raise ConfigError(f"{file}: has more than {_MAX_ALIASES} aliases (*name); write it out")
        tree = yaml.safe_load(content)
        if isinstance(tree, dict):
            return dict(_flatten(tree))
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: cannot be read as plain YAML without tags: {error}") from None
    found = "nothing" if tree is None else type(tree).__name__
    raise ConfigError(f"{file}: expected settings as KEY: VALUE, found {found}")


def _flatten(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _plain(value: Any) -> Any:
    """Evaluate text that is a Python literal, e.g. "(60000, 80000)"; make tuples lists."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return value
    return _listed(value)


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value


def _convert(settings: _Settings) -> ModelConfig:
    effective = {**_DEFAULTS, **settings}
    _refuse_later_families(effective)
    problems = [*_unknown(settings), *_unsupported(FIXED, effective, settings)]
    fields = _fields(FIELDS, effective, problems)
    weighed = {name: fields.pop(name) for name in list(fields) if name in _IMPLIED}
    with_confidence = fields.pop("with_confidence")
    if not (fields.pop("with_uv_confidence") and with_confidence):
        fields["dense.uv_confidence"] = None
    if not with_confidence:
        fields["dense.segm_confidence"] = False
    if fields["dense.head"] != "deeplab":  # the plain head has no such block to switch on
        fields["dense.nonlocal_block"] = False
    with _in_words_of_the_file():
        config = ModelConfig().replace(**fields)
    _check_implied(weighed, config)
    return config


_IMPLIED = ("heatmap_size", "res2_channels", "decoder_width", "decoder_channels")


def _check_implied(weighed: Mapping[str, Any], config: ModelConfig) -> None:
    """Check the settings that, with us, follow from others.

    Raises:
        ConfigError: the file says otherwise.
    """
    width = config.backbone.fpn_channels if config.dense.decoder else None
    implied: Mapping[str, tuple[int | None, str]] = {
        "heatmap_size": (config.dense.heatmap_size, f"{_DENSE}.POOLER_RESOLUTION"),
        "res2_channels": (64 if config.backbone.depth == 18 else 256, "MODEL.RESNETS.DEPTH"),
        "decoder_width": (width, "MODEL.FPN.OUT_CHANNELS"),
        "decoder_channels": (width, "MODEL.FPN.OUT_CHANNELS"),
    }
    for name, (value, origin) in implied.items():
        if value is not None and weighed[name] != value:
            raise ConfigError(
                f"{_KEY_OF_FIELD[name]} is {weighed[name]!r}; with this {origin} it must be {value}"
            )


def _convert_training(model: ModelConfig, settings: _Settings) -> TrainingConfig:
    effective = {**_TRAINING_DEFAULTS, **settings}
    problems = list(_unsupported(TRAINING_FIXED, effective, settings))
    thresholds = effective["MODEL.RPN.IOU_THRESHOLDS"]
    if not (isinstance(thresholds, list) and len(thresholds) == 2):
        problems.append(f"MODEL.RPN.IOU_THRESHOLDS is {thresholds!r}; supported: two thresholds")
    fields = _fields(TRAINING_FIELDS, effective, problems)
    low, high = fields.pop("anchor_thresholds")
    fields["sampling.anchor_max_background_iou"] = low
    fields["sampling.anchor_min_person_iou"] = high
    if not fields.pop("clipped"):
        fields["solver.clip"] = "none"
    seed = fields.pop("seed")
    fields["run.seed"] = 0 if seed == -1 else seed  # Detectron2: -1 draws one
    fields["solver.base_batch_size"] = fields["loader.batch_size"]
    with _in_words_of_the_file():
        return TrainingConfig(model=model).replace(**fields)


def _fields(table: Mapping[str, Field], effective: _Settings, problems: list[str]) -> _Settings:
    """Convert the settings of a table.

    Raises:
        ConfigError: there are problems, those met before or while converting; it lists all.
    """
    fields: dict[str, Any] = {}
    for key, (_, name, convert) in table.items():
        try:
            fields[name] = convert(effective[key])
        except ConfigError as error:
            problems.append(f"{key} {error}")
    if problems:
        raise ConfigError("\n  ".join(["not supported:", *problems]))
    return fields


@contextlib.contextmanager
def _in_words_of_the_file() -> Iterator[None]:
    """Name Detectron2's settings instead of our fields in errors."""
    try:
        yield
    except ConfigError as error:
        text = re.sub(r"\w+\.\w+", lambda m: _KEY_OF_FIELD.get(m[0], m[0]), str(error))
        raise ConfigError(text) from None


def _refuse_later_families(effective: _Settings) -> None:
    backbone = str(effective["MODEL.BACKBONE.NAME"])
    if "hrfpn" in backbone or "hrnet" in backbone:
        raise ConfigError(
            f"MODEL.BACKBONE.NAME is {backbone!r}: HRNet models are for a later version of iuv; "
            "supported: ResNet-50 and ResNet-101"
        )
    predictor = str(effective[f"{_DENSE}.PREDICTOR_NAME"])
    embedders = any(key.startswith(f"{_DENSE}.CSE.EMBEDDERS.") for key in effective)
    if predictor.startswith("DensePoseEmbedding") or embedders:
        raise ConfigError(
            "this is a CSE model (continuous surface embeddings), which are for a later version "
            "of iuv; supported: chart models, which predict I, U and V"
        )


def _unknown(settings: _Settings) -> Iterator[str]:
    sections = tuple(entry for entry in ELSEWHERE if entry.endswith("."))
    known = [*_DEFAULTS, *ELSEWHERE]
    for key, value in settings.items():
        empty_section = value is None and any(k.startswith(f"{key}.") for k in known)
        if key in known or key.startswith(sections) or empty_section:
            continue
        near = get_close_matches(key, known, n=1, cutoff=0.8)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield f"{key} is not a setting that iuv knows{hint}"


def _unsupported(
    table: Mapping[str, Any], effective: _Settings, settings: _Settings
) -> Iterator[str]:
    for key, supported in table.items():
        if effective[key] != supported:
            origin = "" if key in settings else ", Detectron2's default"
            yield f"{key} is {effective[key]!r}{origin}; supported: {supported!r}"
