import threading

import pytest
import torch

from iuv.runtime import devices
from iuv.runtime.devices import exact_convolutions, pick_device


@pytest.mark.parametrize(("able", "device"), [(True, "mps"), (False, "cpu")])
def test_auto_takes_an_apple_gpu_only_if_it_can_pool(monkeypatch, able, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_mps_is_able", lambda: able)
    assert pick_device("auto").type == device


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("gpu", "cuda:99", "", "hpu", "meta"):
        with pytest.raises(ValueError, match="cannot be used here; try 'auto' or 'cpu'"):
            pick_device(name)


CUDA = torch.device("cuda")


def test_convolutions_round_to_tf32_outside_only():
    cudnn = torch.backends.cudnn
    before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32)
    assert cudnn.allow_tf32
    with exact_convolutions(CUDA):
        assert not cudnn.allow_tf32
        with exact_convolutions(CUDA):
            assert not cudnn.allow_tf32
        assert not cudnn.allow_tf32
    assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == before
    with exact_convolutions(torch.device("cpu")):
        assert cudnn.allow_tf32


def test_the_last_thread_restores_the_rounding():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with exact_convolutions(CUDA):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with exact_convolutions(CUDA):
        thread.start()
        assert inside.wait(10)
    assert not torch.backends.cudnn.allow_tf32  # the other one is still at it
    leave.set()
    thread.join()
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.skipif(
    not hasattr(torch.backends.cudnn, "conv"), reason="this torch has no other way to say it"
)
def test_programs_may_use_the_newer_setting():
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    try:
        conv.fp32_precision = "ieee"
        with exact_convolutions(CUDA):
            assert conv.fp32_precision == "ieee"
        assert conv.fp32_precision == "ieee"
    finally:
        conv.fp32_precision = before
