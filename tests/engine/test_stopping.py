"""Signals are noted, raised where nothing would be lost, and given back."""

from __future__ import annotations

import signal
import threading

import pytest

from iuv.engine.stopping import StopNow, StopRequest


def test_a_signal_is_noted():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert stop.signal is None
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_at_once():
    with StopRequest() as stop:
        with pytest.raises(StopNow), stop.at_once():
            signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        with pytest.raises(StopNow), stop.at_once():
            pytest.fail("one has come before")


def test_a_second_ctrl_c():
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_other_threads_get_no_signals():
    noted = []

    def work():
        with StopRequest() as stop:
            noted.append(stop.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert noted == [None]
