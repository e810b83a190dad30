"""The settings of the C library; what they are worth is in docs/benchmarks.md."""

import ctypes
import platform
import sys

import pytest

from iuv.runtime import memory

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of malloc.h


class Library:
    """Takes note of what it is told."""

    def __init__(self, name):
        self.settings = {}
        self.mallopt = self.settings.__setitem__


def test_what_the_c_library_is_told(monkeypatch):
    library = Library(None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")
    memory.keep_freed_memory()
    assert library.settings == {TRIM_THRESHOLD: 256 << 20, MMAP_THRESHOLD: 256 << 20}
    memory.keep_freed_memory(False)
    assert library.settings == {TRIM_THRESHOLD: 64 << 20, MMAP_THRESHOLD: 32 << 20}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_it_takes_them():
    try:
        assert ctypes.CDLL(None).mallopt(TRIM_THRESHOLD, 64 << 20) == 1
        memory.keep_freed_memory()
    finally:
        memory.keep_freed_memory(False)


def test_other_systems_are_left_alone(monkeypatch):
    def fail(name):
        raise AssertionError("looked for the C library")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # a C library without mallopt
    memory.keep_freed_memory()
