from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iuv import locking
from iuv.checkpoint import DownloadError, download, fetch

CONTENT = bytes(range(256)) * 12_000  # 3 MB: several reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one content under any path, as badly as a test wants."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = '"one"'
        self.modified = None
        self.ranges = True
        self.cuts = []  # bytes of the body to send before hanging up, one per answer
        self.after_cut = lambda: None
        self.status = None
        self.location = None
        self.length = True
        self.asked = []  # (path, Range) of each request

    def handle_error(self, *args):
        """The client may hang up, too."""

    def url(self, path="/models/weights.bin"):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.status:
            if server.location:
                self.send_response(server.status)
                self.send_header("Location", server.location)
                self.end_headers()
            else:
                self.send_error(server.status)
            return
        start = self.start(wanted)
        if start is None:
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            end = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[:cut])
        if cut < len(body):
            server.after_cut()

    def start(self, wanted):
        server = self.server
        if not wanted or not server.ranges:
            return 0
        if self.headers["If-Range"] not in (server.etag, server.modified):
            return 0
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
        return start if start < len(server.content) else None


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("IUV_HOME", str(folder))
    return folder


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


def ranges(server):
    return [wanted for _, wanted in server.asked]


# Where it goes well


def test_a_file_is_fetched_once(server, home):
    path = fetch(server.url())
    assert path == home / f"127.0.0.1_{server.server_port}" / "models" / "weights.bin"
    assert path.read_bytes() == CONTENT
    assert fetch(server.url()) == path
    assert len(server.asked) == 1
    record = json.loads(path.with_name("weights.bin.json").read_text())
    assert record == {"url": server.url(), "size": len(CONTENT), "sha256": SHA256}
    assert names(path) == ["weights.bin", "weights.bin.json", "weights.bin.lock"]


def test_chosen_name(server, home):
    assert fetch(server.url(), name="R-50.pkl") == home / "R-50.pkl"


def test_same_name_from_elsewhere_is_another_file(server, home):
    fetch(server.url("/a"), name="w.pkl")
    server.content = b"other"
    assert fetch(server.url("/b"), name="w.pkl").read_bytes() == b"other"


def test_queries_are_part_of_the_identity(server):
    paths = {fetch(server.url(f"/w.pkl{query}")) for query in ("", "?v=1", "?v=2")}
    assert len(paths) == 3
    assert all(path.name.endswith("w.pkl") for path in paths)


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/x", "/a/..%2f..%2fb", "/", ""]
)
def test_nothing_leaves_the_cache_folder(home, path):
    target = download._cache_path(f"http://user:secret@host:80{path}", None)
    assert target.resolve().is_relative_to(home / "host_80")
    assert target.resolve() != home / "host_80"


def test_default_folder_is_the_platforms(monkeypatch):
    monkeypatch.delenv("IUV_HOME")
    assert "iuv" in download._cache_path("https://host/w", None).parts


def test_users_without_a_home(monkeypatch):
    def fail(*args: object, **kwargs: object) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("IUV_HOME")
    monkeypatch.setattr(download.platformdirs, "user_cache_dir", fail)
    with pytest.raises(DownloadError, match=r"no folder to keep files in .* set the .* IUV_HOME"):
        fetch("https://host/w")


def test_without_length_or_version(server):
    server.length, server.etag = False, None
    assert fetch(server.url()).read_bytes() == CONTENT


def test_redirects_are_followed(server):
    with Server() as first:
        threading.Thread(target=first.handle_request, daemon=True).start()
        first.status, first.location = 302, server.url()
        assert fetch(first.url()).read_bytes() == CONTENT


# Cut connections


def test_resumes_within_a_call(server):
    server.cuts = [1_000_000, 500_000]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000000-", "bytes=1500000-"]


def test_resumes_in_a_later_call(server):
    server.cuts = [1_000_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"after 1,000,000 of 3,072,000 bytes; call again"):
        fetch(server.url())
    assert fetch(server.url()).read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=1000000-"


def test_resumes_by_date(server):
    server.etag, server.modified = 'W/"weak"', formatdate(0, usegmt=True)
    server.cuts = [1_000_000]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000000-"]


def test_server_without_ranges_starts_anew(server):
    server.ranges = False
    server.cuts = [1_000_000]
    assert fetch(server.url()).read_bytes() == CONTENT


def test_server_without_versions_starts_anew(server):
    server.etag = None
    server.cuts = [1_000_000]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("new", [CONTENT[::-1], CONTENT[:500_000], CONTENT + b"more"])
def test_a_changed_file_is_not_glued_together(server, new):
    def change():
        server.content, server.etag = new, '"two"'

    server.cuts = [1_000_000]
    server.after_cut = change
    assert fetch(server.url()).read_bytes() == new


def test_a_file_that_shrank_under_the_same_version(server):
    def shrink():
        server.content = CONTENT[:500_000]

    server.cuts = [1_000_000]
    server.after_cut = shrink
    assert fetch(server.url()).read_bytes() == CONTENT[:500_000]


def test_complete_part_is_not_asked_for_again(server, monkeypatch):
    part_of = fetch(server.url())
    part = part_of.with_name("weights.bin.part")
    part_of.rename(part)
    state = {"url": server.url(), "size": len(CONTENT), "validator": server.etag}
    part.with_name("weights.bin.part.json").write_text(json.dumps(state))
    assert fetch(server.url()).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_body_that_always_ends_early(server):
    server.cuts = [10] * 10
    with pytest.raises(DownloadError, match="ended after 40 of 3,072,000 bytes") as caught:
        fetch(server.url())
    assert len(server.asked) == 4
    path = re.search(r"put it at (\S+)$", str(caught.value))[1]
    assert not os.path.exists(path)


# A cache that was touched


@pytest.mark.parametrize("damage", [CONTENT[:-1], b"x" + CONTENT[1:]], ids=["shorter", "other"])
def test_a_damaged_file_is_fetched_again(server, caplog, damage):
    path = fetch(server.url())
    path.write_bytes(damage)
    assert fetch(server.url()).read_bytes() == CONTENT
    assert "is not what was downloaded" in caplog.text
    assert len(server.asked) == 2


def test_a_file_placed_by_hand_is_taken(server, home):
    path = home / f"127.0.0.1_{server.server_port}" / "models" / "weights.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert fetch(server.url()).read_bytes() == b"mine"
    assert not server.asked


def test_digits_in_official_names(server, caplog):
    for algorithm in ("sha256", "md5", "sha1"):
        digits = hashlib.new(algorithm, CONTENT, usedforsecurity=False).hexdigest()[:6]
        fetch(server.url(f"/{algorithm}/model_final_{digits}.pkl"))
    assert not caplog.records
    path = fetch(server.url("/model_final_162be9.pkl"))
    assert path.read_bytes() == CONTENT
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "the digits 162be9 in the name do not begin" in record.getMessage()
    assert SHA256 in record.getMessage()


# Where it fails


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "weights.pkl", "http:///x"])
def test_other_urls_are_refused(url):
    with pytest.raises(ValueError, match="expected a URL that begins with http"):
        fetch(url)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "..", "a\\b", "C:x"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="expected a plain file name"):
        fetch("http://host/x", name=name)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirects_do_not_leave_the_web(server, target):
    server.status, server.location = 302, target
    with pytest.raises(DownloadError):
        fetch(server.url())


@pytest.mark.parametrize("status", [403, 404, 500])
def test_refusals_of_the_server(server, home, status):
    server.status = status
    target = home / f"127.0.0.1_{server.server_port}" / "models" / "weights.bin"
    with pytest.raises(DownloadError) as caught:
        fetch(server.url())
    message = str(caught.value)
    assert message.startswith(f"cannot download {server.url()}: the server says {status} ")
    assert message.endswith(f"fetch this file elsewhere and put it at {target}")
    assert target.parent.is_dir()  # so that it can be put there
    assert names(target) == ["weights.bin.lock"]


def test_offline(server, home):
    url = server.url()
    server.server_close()
    with pytest.raises(
        DownloadError, match=r"cannot download .* put it at .*weights\.bin"
    ) as caught:
        fetch(url)
    assert url in str(caught.value)


def test_a_server_that_never_answers_is_not_waited_for_again(monkeypatch):
    monkeypatch.setattr(download, "_PATIENCE_S", 0.2)
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/w.bin"
        with pytest.raises(DownloadError, match=r"no answer within 0\.2 s\. Without a connection"):
            fetch(url)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_name_that_cannot_be_looked_up_in_time(monkeypatch):
    end = threading.Event()
    monkeypatch.setattr(download, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(60) and [])
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"no answer within 0\.2 s"):
        fetch("http://weights.invalid/w.bin")
    assert time.monotonic() - start < 30
    end.set()


def test_folder_that_cannot_be_made(home, server):
    home.write_text("a file")
    with pytest.raises(DownloadError, match=r"cannot keep 'weights.bin' .* IUV_HOME"):
        fetch(server.url())


def test_full_disk(server, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="3,072,000 bytes are needed, 1,000 are free"):
        fetch(server.url())


def test_disk_that_fills_up_meanwhile(server, monkeypatch):
    def copy(response, file, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_copy", copy)
    with pytest.raises(DownloadError, match=r"No space left on device.* Make room"):
        fetch(server.url())


# Several processes

FETCH = "import sys; from iuv.checkpoint import fetch; print(fetch(sys.argv[1]))"


def test_two_processes_share_one_download(server):
    command = [sys.executable, "-c", FETCH, server.url()]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers
    paths = {out.strip() for out, _ in answers}
    assert len(paths) == 1
    assert len(server.asked) == 1


def test_threads_share_one_download(server):
    threads = [threading.Thread(target=fetch, args=[server.url()]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1


def test_the_second_waits_and_a_dead_holder_does_not_block(server, home, caplog):
    caplog.set_level(logging.WARNING)
    target = download._cache_path(server.url(), None)
    target.parent.mkdir(parents=True)
    code = (
        "import runpy, sys, time\n"  # not imported: that takes torch's time
        f"file_lock = runpy.run_path({locking.__file__!r})['file_lock']\n"
        "with file_lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    lock = str(target.with_name("weights.bin.lock"))
    with subprocess.Popen(
        [sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        waiter = threading.Thread(target=fetch, args=[server.url()])
        waiter.start()
        waiter.join(0.5)
        assert waiter.is_alive()
        assert not server.asked
        holder.kill()
        waiter.join(20)
    assert target.read_bytes() == CONTENT
    assert "waiting for another process" in caplog.text


def test_an_empty_answer_is_not_kept(server, home):
    server.content = b""
    with pytest.raises(DownloadError, match="the server sent an empty file"):
        fetch(server.url())
    server.content = CONTENT
    assert fetch(server.url()).read_bytes() == CONTENT
