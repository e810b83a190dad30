"""A form in a process of its own: how soon its first result is there, how much memory it takes.

``python -m iuv.bench.fresh TASK``, with the task as JSON, is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Fresh", "main", "measure_fresh"]


class Fresh(NamedTuple):
    """What a fresh process took."""

    first_result_s: float
    """From its start to its first result, imports and the loading of weights included."""
    peak_bytes: int | None
    """The most memory that it held, from its start to its second result; None: not known here."""
    device_peak_bytes: int | None
    """The same of a GPU's memory; None without one."""


def measure_fresh(task: dict[str, Any]) -> Fresh:
    """Run a task in a fresh process.

    Args:
        task: plain data: ``form`` (engine and precision), ``config`` (of `ModelConfig.to_dict`),
            ``weights``, ``device``, ``threads`` and ``scene`` (the fields of `Scene`).

    Raises:
        RuntimeError: the process failed; the message has its last words.
    """
    command = [sys.executable, "-m", "iuv.bench.fresh", json.dumps(task)]
    with tempfile.TemporaryFile("w+") as words:  # not a pipe, which fills and blocks
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True) as process:
            try:
                lines = [] if process.stdout is None else [process.stdout.readline()]
                first = time.perf_counter() - start
                rest = process.communicate()[0]
            except BaseException:
                process.kill()
                raise
        if process.returncode == 0:
            return Fresh(first, *json.loads(rest))
        words.seek(0)
        last = (words.read().strip().splitlines() or ["no message"])[-1]
    raise RuntimeError(f"a fresh process ended with code {process.returncode}: {last}; {lines}")


def main(task: dict[str, Any]) -> None:
    """Run a task in this process; a line at the first result, another with the peaks."""
    import torch

    from iuv.bench.forms import Form, FormName
    from iuv.bench.scene import Scene
    from iuv.config import ModelConfig

    torch.set_num_threads(task["threads"])
    device = torch.device(task["device"])
    config = ModelConfig.from_dict(task["config"])
    form = Form.load(FormName(*task["form"]), config, Path(task["weights"]), device)
    photo, size, *rest = task["scene"]
    scene = Scene(Path(photo), (size[0], size[1]), *rest)
    form.run(scene)
    print("first result", flush=True)
    form.run(scene)
    device_peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    print(json.dumps([_peak_bytes(), device_peak]))


def _peak_bytes() -> int | None:
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count the parent's memory, from before this program
        lines = status.read_text().splitlines()
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return None if peak is None else int(peak) << 10
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
