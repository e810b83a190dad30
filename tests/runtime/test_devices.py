import pytest
import torch

from iuv.runtime import devices
from iuv.runtime.devices import pick_device


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
