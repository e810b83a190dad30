"""Fetching files once: resumable, checked, and kept in a cache folder.

Next to a fetched file lies its record, `<file>.json` with URL, size and SHA-256; both are compared
with the file each time it is asked for, at the price of reading it once. A file without a record
was put there by hand and is taken as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
import time
from concurrent import futures
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from iuv.checkpoint.errors import DownloadError
from iuv.locking import file_lock
from iuv.writers.atomic import atomic_write

__all__ = ["cache_folder", "fetch"]

_log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0  # without a byte, in the middle of a file
_PATIENCE_S = 15.0  # until the server answers
_ATTEMPTS = 4
_PAUSE_S = 1.0  # before the next attempt
_CHUNK = 1 << 20


class _CutOffError(Exception):
    """The connection ended before the file did."""


def fetch(url: str, *, name: str | None = None) -> Path:
    """Return the local copy of a file, downloading it if there is no sound one yet.

    It lies in the folder that the environment variable IUV_HOME names (by default the platform's
    cache folder for iuv), under `name` or else under the URL's host and path. Processes that
    ask for the same file at the same time share one download.

    Raises:
        ValueError: not an http(s) URL, or `name` is no plain file name.
        DownloadError: the file cannot be had or kept; says which file to put where.
    """
    target = _cache_path(url, name)
    if _is_sound(target, url):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(target.with_name(f"{target.name}.lock")):
            if not _is_sound(target, url):  # another process may have been quicker
                _download(url, target)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"cannot keep {target.name!r} in the cache folder {str(target.parent)!r} "
            f"({error.strerror or error}). Make room or make it writable, or set the environment "
            "variable IUV_HOME to another folder"
        ) from error
    return target


def cache_folder() -> Path:
    """Return the folder for what can be had again: IUV_HOME, or the platform's for iuv.

    Raises:
        DownloadError: the platform has none, as the user has no home folder.
    """
    if own := os.environ.get("IUV_HOME"):
        return Path(own)
    try:
        return Path(platformdirs.user_cache_dir("iuv", appauthor=False))
    except RuntimeError as error:
        raise DownloadError(
            f"there is no folder to keep files in ({error}); set the environment variable IUV_HOME "
            "to one"
        ) from error


def _cache_path(url: str, name: str | None) -> Path:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL that begins with http:// or https://, got {url!r}")
    home = cache_folder()
    if name is not None:
        if name != _safe(name):
            raise ValueError(f"expected a plain file name, got {name!r}")
        return home / name
    path = [_safe(part) for part in unquote(parts.path).split("/") if part.strip(".")] or ["index"]
    if parts.query:  # part of the file's identity
        path.append(f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{path.pop()}")
    return home.joinpath(_safe(parts.netloc.rpartition("@")[2]), *path)


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name) if name.strip(".") else "_"


def _is_sound(target: Path, url: str) -> bool:
    """Whether the file is there and still what was fetched from this URL."""
    if not target.is_file():
        return False
    record = _read_json(_record_path(target))
    if not record:
        return True
    return bool(
        record.get("url") == url
        and record.get("size") == target.stat().st_size
        and record.get("sha256") == _digest(target, "sha256")
    )


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write_json(path: Path, data: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(data).encode())


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, target: Path) -> None:
    if target.exists():
        _log.warning(
            "%s is not what was downloaded from %s any more; downloading it again. (To keep a file "
            "of your own there, delete %s.)",
            *(target, url, _record_path(target).name),
        )
    _log.info("downloading %s to %s", url, target)
    part = target.with_name(f"{target.name}.part")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _transfer(url, part)
            break
        except _CutOffError as error:
            if attempt == _ATTEMPTS:
                reason = f"{error}; call again to go on from there"
                raise _unavailable(url, target, reason) from error
            _log.info("%s: %s; trying again", url, error)
            time.sleep(_PAUSE_S)
        except HTTPError as error:
            reason = f"the server says {error.code} {error.reason}"
            raise _unavailable(url, target, reason) from error
        except (URLError, HTTPException) as error:
            raise _unavailable(url, target, str(getattr(error, "reason", error))) from error
    if not part.stat().st_size:
        raise _unavailable(url, target, "the server sent an empty file")
    sha256 = _digest(part, "sha256")
    _check_name(url, part, sha256)
    record = {"url": url, "size": part.stat().st_size, "sha256": sha256}
    _write_json(_record_path(target), record)
    part.replace(target)
    _record_path(part).unlink(missing_ok=True)


def _unavailable(url: str, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"cannot download {url}: {reason}. Without a connection, fetch this file elsewhere and put "
        f"it at {target}"
    )


def _check_name(url: str, path: Path, sha256: str) -> None:
    """Report where the six hex digits in an official name do not begin a digest of the content."""
    found = re.search(r"model_final_([0-9a-f]{6})\.pkl$", url)
    if not found or sha256.startswith(found[1]):
        return
    if not any(_digest(path, algorithm).startswith(found[1]) for algorithm in ("md5", "sha1")):
        _log.warning(
            "%s: the digits %s in the name do not begin the content's SHA-256 (%s), SHA-1 or MD5",
            *(url, found[1], sha256),
        )


def _transfer(url: str, part: Path) -> None:
    """Download into `part`, going on where it ends if it is of the same version of the file."""
    state = _read_json(_record_path(part))
    validator = state.get("validator") if state.get("url") == url else None
    start = part.stat().st_size if validator and part.exists() else 0
    if start and start == state.get("size"):
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "iuv"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": str(validator)}
    try:
        with _open(request.Request(url, headers=headers)) as response:
            if not _continues(response, start):
                start = 0
            size = start + int(response.length) if response.length is not None else None
            if not start:
                new = {"url": url, "size": size, "validator": _validator(response)}
                _write_json(_record_path(part), new)
            _check_space(part, size)
            with part.open("ab" if start else "wb") as file:
                _copy(response, file, start, size)
    except HTTPError as error:
        if error.code == 416:  # the part is longer than the file is now
            part.unlink(missing_ok=True)
            raise _CutOffError("the file on the server has changed") from error
        raise


def _open(asked: request.Request) -> HTTPResponse:
    """Return the server's answer, or raise URLError after `_PATIENCE_S`.

    The limit is kept from outside: looking up a name knows none, and connecting has one for each of
    a host's addresses, of which there may be ten.
    """
    answer: futures.Future[HTTPResponse] = futures.Future()
    given_up = Event()

    def ask() -> None:
        try:
            response = _ask(asked)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(response)
            if given_up.is_set():
                response.close()

    Thread(target=ask, daemon=True).start()  # which does not keep the program from ending
    try:
        return answer.result(timeout=_PATIENCE_S)
    except futures.TimeoutError:
        given_up.set()
        raise URLError(f"no answer within {_PATIENCE_S:g} s") from None


def _ask(asked: request.Request) -> HTTPResponse:
    """Do as `urllib.request.urlopen`, without its ways to files and FTP."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        response: HTTPResponse = opener.open(asked, timeout=_TIMEOUT_S)
    except HTTPError as error:  # an answer, but a refusal
        error.close()
        raise
    except URLError:  # no connection
        raise
    except (OSError, HTTPException) as error:
        raise _CutOffError(f"the connection broke ({error or type(error).__name__})") from error
    return response


def _continues(response: HTTPResponse, start: int) -> bool:
    if response.status != 206:
        return False
    if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise _CutOffError("the server sent another range than asked for")
    return True


def _validator(response: HTTPResponse) -> str | None:
    """Return what identifies this version of the file, if the server says."""
    etag = response.headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else None
    return strong or response.headers.get("Last-Modified")


def _check_space(part: Path, size: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    missing = (size or 0) - (part.stat().st_size if part.exists() else 0)
    if missing > free:
        raise OSError(f"{missing:,} bytes are needed, {free:,} are free")


def _copy(response: HTTPResponse, file: IO[bytes], start: int, size: int | None) -> None:
    done = start
    with _progress() as progress:
        task = progress.add_task(Path(file.name).stem, total=size, completed=start)
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            progress.update(task, completed=done)
    if size is not None and done != size:
        raise _CutOffError(f"the connection ended after {done:,} of {size:,} bytes")


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _CutOffError(f"the connection broke ({error or type(error).__name__})") from error


def _progress() -> Progress:
    return Progress(
        *(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
