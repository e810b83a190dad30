"""Configurations made of sections: frozen dataclasses, changed by dotted names, checked by type."""

from __future__ import annotations

import ast
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeVar

__all__ = ["ConfigError", "Sectioned", "require"]

_Self = TypeVar("_Self", bound="Sectioned")


class ConfigError(ValueError):
    """A configuration value is unknown, of the wrong type or out of range."""


def require(ok: bool, what: str) -> None:
    """Raise ConfigError(what) unless `ok`."""
    if not ok:
        raise ConfigError(what)


class Sectioned:
    """Base of frozen dataclasses whose fields are sections (frozen dataclasses themselves).

    A field that is `Sectioned` itself lends its sections: they are named as if they were fields
    here, so that ``training.replace(**{"box.min_score": 0.3})`` reaches ``training.model.box``.
    """

    def replace(self: _Self, **changes: Any) -> _Self:
        """Return a copy with dotted fields changed, e.g. ``replace(**{"box.min_score": 0.3})``.

        Values are checked against the field's type; strings are not parsed (see `override`).

        Raises:
            ConfigError: an unknown field, a wrong type or a value out of range.
        """
        hints = _field_types(type(self))
        sections: dict[str, dict[str, Any]] = {}
        for path, value in changes.items():
            if path not in hints:
                near = get_close_matches(path, hints, n=3) or sorted(hints)
                raise ConfigError(f"unknown config field {path!r}; did you mean {', '.join(near)}?")
            section, _, name = path.partition(".")
            sections.setdefault(section, {})[name] = _cast(value, hints[path], path)
        return self._with(sections)

    def _with(self: _Self, sections: Mapping[str, Mapping[str, Any]]) -> _Self:
        """Return a copy with fields of sections changed, a section at once.

        At once, since the fields of a section may constrain each other.
        """
        new: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, field.name)
            if isinstance(value, Sectioned):
                own = {f.name for f in dataclasses.fields(value)}  # type: ignore[arg-type]  # as above
                new[field.name] = value._with({s: c for s, c in sections.items() if s in own})
            elif field.name in sections:
                new[field.name] = dataclasses.replace(value, **sections[field.name])
        return dataclasses.replace(self, **new)  # type: ignore[type-var]  # as above

    def override(self: _Self, *assignments: str) -> _Self:
        """Return a copy changed by assignments as typed on a command line: ``"box.min_score=0.3"``.

        The right side is read as a Python literal, else taken as text.

        Raises:
            ConfigError: no "=", an unknown field, a wrong type or a value out of range.
        """
        changes = {}
        for text in assignments:
            path, equals, literal = text.partition("=")
            require(bool(equals), f"expected FIELD=VALUE, e.g. box.min_score=0.3, got {text!r}")
            try:
                changes[path.strip()] = ast.literal_eval(literal.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                changes[path.strip()] = literal.strip()
        return self.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain data (numbers, strings, lists) by section, ready for JSON."""
        plain: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, field.name)
            if isinstance(value, Sectioned):
                plain |= value.to_dict()
            else:
                plain[field.name] = _plain(dataclasses.asdict(value))
        return plain

    @classmethod
    def from_dict(cls: type[_Self], data: Mapping[str, Any]) -> _Self:
        """Rebuild a configuration from `to_dict`'s data.

        Raises:
            ConfigError: an unknown section or field, a wrong type or a value out of range.
        """
        require(isinstance(data, Mapping), f"a config must be a mapping, got {data!r}")
        known = list(dict.fromkeys(path.partition(".")[0] for path in _field_types(cls)))
        changes = {}
        for section, values in data.items():
            require(
                section in known,
                f"unknown config section {section!r}; the sections are {', '.join(known)}",
            )
            require(
                isinstance(values, Mapping),
                f"config section {section!r} must be a mapping, got {type(values).__name__}",
            )
            changes.update({f"{section}.{name}": value for name, value in values.items()})
        return cls().replace(**changes)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _field_types(cls: type[Sectioned]) -> dict[str, Any]:
    """Return the type of every field by its dotted name, e.g. ``"box.min_score"`` → float."""
    hints: dict[str, Any] = {}
    for section, kind in typing.get_type_hints(cls).items():
        if issubclass(kind, Sectioned):
            hints |= _field_types(kind)
        else:
            hints |= {f"{section}.{n}": hint for n, hint in typing.get_type_hints(kind).items()}
    return hints


def _cast(value: Any, hint: Any, path: str) -> Any:
    """Check a value against a field's type; whole numbers pass as floats, lists as tuples."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        ok = any(value == a and type(value) is type(a) for a in args)  # 50.0 is not 50
        require(ok, f"{path} must be one of {args}, got {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _cast(value, next(a for a in args if a is not type(None)), path)
    if origin is tuple:
        require(isinstance(value, list | tuple), f"{path} must be a list, got {value!r}")
        fixed = args[-1] is not Ellipsis
        require(
            not fixed or len(value) == len(args), f"{path} needs {len(args)} values, got {value!r}"
        )
        return tuple(_cast(v, args[0], path) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float):
        require(math.isfinite(value), f"{path} must be finite, got {value!r}")
    ok = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    require(ok, f"{path} must be {hint.__name__}, got {value!r}")
    return value
