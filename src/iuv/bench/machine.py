"""The machine: what it is, and what it can compute."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["describe_machine", "matrix_product"]

_PACKAGES = ("iuv", "torch", "numpy", "pillow", "openvino", "onnxruntime")
_SIDES = (512, 1024, 2048, 4096, 8192)
_ENOUGH_S = 0.03  # a product that takes so long is not timed by its call alone
_REPEATS = 3


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a reader of figures should know of the machine, as plain data.

    What is not to be known here is None. It has no name by which it could be found.
    """
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def matrix_product(precision: str, device: torch.device) -> float | None:
    """Return how many operations per second a product of square matrices reaches in torch.

    The matrices grow until a product takes long enough to be timed; the best of a few counts.

    Args:
        precision: "fp32", "bf16", "fp16" or "int8".
        device: where to multiply.

    Returns:
        Operations per second (additions and multiplications), or None where torch has no such
        product.
    """
    rate = 0.0
    try:
        for side in _SIDES:
            multiply = _product(precision, side, device)
            multiply()
            seconds = min(_seconds(multiply, device) for _ in range(_REPEATS))
            rate = max(rate, 2 * side**3 / seconds)
            if seconds > _ENOUGH_S:
                break
    except (RuntimeError, NotImplementedError):
        return None
    return rate


def _product(precision: str, side: int, device: torch.device) -> Callable[[], Tensor]:
    if precision == "int8":
        whole = torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(whole, whole)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    square = torch.rand(side, side, device=device).to(dtype)
    return lambda: square @ square


def _seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip():
            return done.stdout.strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
