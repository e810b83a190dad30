"""What is wrong with annotations: found field by field, and either raised or collected."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from iuv.data.records import DataError

__all__ = ["Fields", "Problem", "Report", "as_numbers", "refuse_errors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, in one place."""

    severity: Literal["error", "warning"]
    """Errors would spoil training or evaluation, and loading refuses them."""
    kind: str
    """What is wrong, without numbers: problems of one kind are counted together."""
    where: str
    """``annotation 17 of image 5``; empty: the file as a whole."""
    detail: str
    """The field: what was expected, what came, what to do."""

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}" if self.where else self.detail


Report = Callable[[Problem], None]
"""Takes problems as they are found; may raise, to stop at the first."""


def refuse_errors(source: Path) -> Report:
    """Return a report that raises an error as `DataError` and lets warnings pass."""

    def report(problem: Problem) -> None:
        if problem.severity == "error":
            raise DataError(f"{source}: {problem} (`iuv data check` lists all problems)")

    return report


class Fields:
    """One JSON object, read field by field: what is wrong is reported, and the rest is read."""

    def __init__(self, values: Mapping[str, Any], where: str, report: Report) -> None:
        self.values = values
        self.where = where
        self.sound = True
        """Whether there was no error so far."""
        self.masks: dict[str, Mapping[str, Any]] = {}
        """Run-length masks by the names of their fields, still to be decoded for a check."""
        self._report = report

    def error(self, kind: str, detail: str) -> None:
        """Report what makes the object unusable."""
        self.sound = False
        self._report(Problem(severity="error", kind=kind, where=self.where, detail=detail))

    def warn(self, kind: str, detail: str) -> None:
        """Report what is odd, but does no harm."""
        self._report(Problem(severity="warning", kind=kind, where=self.where, detail=detail))

    def whole(self, name: str, *, least: int = 0) -> int:
        """Return a whole number that must be there; `least` when it is not, which is reported."""
        value = self.values.get(name)
        if type(value) is int and value >= least:  # True is an int, too
            return value
        expected = f"expected a whole number from {least} on"
        self.error(f"no valid {name}", f"{name}: {expected}, got {reprlib.repr(value)}")
        return least

    def numbers(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return a list of finite numbers that must be there; None when it is not: reported."""
        value = self.values.get(name)
        numbers = as_numbers(value)
        if numbers is None:
            got = reprlib.repr(value)
            self.error(f"no valid {name}", f"{name}: expected a list of numbers, got {got}")
        elif not np.isfinite(numbers).all():
            first = int(np.flatnonzero(~np.isfinite(numbers))[0])
            self.error(
                f"no valid {name}", f"{name}[{first}]: expected a number, got {numbers[first]}"
            )
            return None
        return numbers


def as_numbers(values: object) -> npt.NDArray[np.float64] | None:
    """Return a list of numbers as float64; None if it is anything else."""
    if isinstance(values, np.ndarray):  # this has been here before
        return values
    if not isinstance(values, list):
        return None
    try:
        array = np.array(values)
    except ValueError:  # lists in it, of several lengths
        return None
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        return None
    return array.astype(np.float64, copy=False)
