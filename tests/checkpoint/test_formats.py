from __future__ import annotations

import pickle
import struct
import zipfile

import pytest
import safetensors.torch
import torch
from stub_model import (
    CONFIG,
    SMALL,
    STATE,
    assert_holds,
    released,
    stub_model,
)

from iuv.checkpoint import (
    CheckpointError,
    load_backbone,
    load_weights,
    read_config,
    read_state,
    save_weights,
)


def test_config_travels_with_our_format(tmp_path):
    for suffix, expected in ((".safetensors", CONFIG), (".pkl", None), (".pth", None)):
        path = tmp_path / f"weights{suffix}"
        save_weights(STATE, CONFIG, path)
        assert read_config(path) == expected


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ('{"format": 2, "config": {}}', "is of format 2, this iuv reads 1; update iuv"),
        ("[]", "is of format None"),
        ("{", "is damaged"),
        ('{"format": 1}', "configuration is damaged"),
        ('{"format": 1, "config": {"box": {"colour": 1}}}', "unknown config field 'box.colour'"),
        ('{"format": 1, "config": []}', "configuration is damaged"),
    ],
)
def test_damaged_metadata(tmp_path, metadata, message):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"iuv": metadata})
    with pytest.raises(CheckpointError, match=message):
        read_config(path)


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(released(STATE), path)
    assert read_config(path) is None
    fresh = stub_model(SMALL)
    load_weights(fresh, path)
    assert_holds(fresh, STATE)


EXTRAS = {
    "pixel_mean": torch.zeros(3, 1, 1),
    "pixel_std": torch.ones(3, 1, 1),
    "proposal_generator.anchor_generator.cell_anchors.4": torch.zeros(3, 4),
    "backbone.bottom_up.stem.conv1.norm.num_batches_tracked": torch.tensor(0),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("inside", ["model", None])
def test_torch_files(tmp_path, inside, prefix, legacy):
    weights = {prefix + key: tensor for key, tensor in {**released(STATE), **EXTRAS}.items()}
    data = {inside: weights, "iteration": 7, "optimizer": {0: [1.0]}} if inside else weights
    path = tmp_path / "no_suffix"
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    fresh = stub_model(SMALL)
    load_weights(fresh, path)
    assert_holds(fresh, STATE)


def test_our_own_state_dict(tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(stub_model(SMALL).state_dict() | STATE, path)
    fresh = stub_model(SMALL)
    load_weights(fresh, path)
    assert_holds(fresh, STATE)


def test_zoo_pickle_with_old_buffers(tmp_path):
    arrays = {key: tensor.numpy() for key, tensor in {**released(STATE), **EXTRAS}.items()}
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    fresh = stub_model(SMALL)
    load_weights(fresh, path)
    assert_holds(fresh, STATE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    path = tmp_path / "weights.pth"
    torch.save({name: tensor.to(dtype) for name, tensor in STATE.items()}, path)
    for device in ("cpu", "meta"):
        with torch.device(device):
            fresh = stub_model(SMALL)
        load_weights(fresh, path)
        assert_holds(fresh, {name: t.to(dtype).float() for name, t in STATE.items()})
        assert all(tensor.dtype == torch.float32 for tensor in fresh.state_dict().values())


def test_loading_keeps_what_is_trained(tmp_path):
    path = tmp_path / "weights.pkl"
    save_weights(STATE, CONFIG, path)
    with torch.device("meta"):
        fresh = stub_model(SMALL)
    fresh.get_parameter("box_head.fc1.weight").requires_grad_(False)
    load_weights(fresh, path)
    assert not fresh.get_parameter("box_head.fc1.weight").requires_grad
    assert fresh.get_parameter("box_head.fc2.weight").requires_grad


def test_backbone_of_a_whole_model(tmp_path):
    path = tmp_path / "weights.pkl"
    save_weights(STATE, CONFIG, path)
    prefix = "trunk.resnet."
    part = {n.removeprefix(prefix): t for n, t in STATE.items() if n.startswith(prefix)}
    resnet = stub_model({name: tuple(tensor.shape) for name, tensor in part.items()})
    load_backbone(resnet, path)
    assert_holds(resnet, part)


def test_no_backbone(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"box_head.fc1.bias": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="holds no ResNet"):
        load_backbone(stub_model({"stem.conv.weight": (1, 1)}), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; fetch the file again"),
        (b"<!DOCTYPE html><html><title>404</title>", "is a web page"),
        (b"\n <Error>AccessDenied</Error>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"{'detail': 'not found'}", "is text, not weights"),
        (b"\xff\xd8\xff\xe0 JFIF", "not a pickle of weights"),
        (b"PK\x03\x04" + bytes(100), "is cut off or damaged"),
        (struct.pack("<Q", 10) + b"{" + bytes(20), "is damaged"),
        (
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02",
            "is damaged, or no weights of PyTorch",
        ),
        (pickle.dumps([1, 2]), "expected named weights.*it holds a list"),
        (pickle.dumps({"model": {"a.b": "text"}}), "the entry 'a.b' is a str"),
        (pickle.dumps({"model": 3}), "it holds a int"),
        (pickle.dumps({"model_state": {}}), "the entry 'model_state' is a dict"),
        (pickle.dumps({"model": {}}), "holds no weights"),
    ],
)
def test_other_files_are_explained(tmp_path, content, message):
    path = tmp_path / "weights.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_state(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    for read in (read_state, read_config):
        with pytest.raises(CheckpointError, match="cannot be read: No such file"):
            read(tmp_path / "none.pkl")
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(tmp_path)


def test_cut_off_torch_and_safetensors(tmp_path):
    for suffix in (".safetensors", ".pth", ".pkl"):
        path = tmp_path / f"weights{suffix}"
        save_weights(STATE, CONFIG, path)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(CheckpointError, match="damaged"):
            read_state(path)


class _Runs:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return eval, (self.code,)


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_execute_nothing(tmp_path, legacy):
    marker = tmp_path / "marker"
    path = tmp_path / "weights.pth"
    data = {"model": _Runs(f"open({str(marker)!r}, 'w')")}
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"it refers to (builtins\.)?eval"):
        read_state(path)
    assert not marker.exists()


def test_compressed_torch_file(tmp_path):
    path, packed = tmp_path / "weights.pth", tmp_path / "packed.pth"
    save_weights(STATE, CONFIG, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CheckpointError, match="compressed archive"):
        read_state(packed)


@pytest.mark.parametrize("kind", ["sparse", "meta", "nested"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # a prototype, says torch
def test_tensors_without_plain_numbers_are_refused(tmp_path, kind):
    make = {
        "sparse": lambda: torch.ones(3).to_sparse(),
        "meta": lambda: torch.ones(3, device="meta"),
        "nested": lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
    }
    torch.save({"model": {"a.b": make[kind]()}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: the entry 'a\.b' is a sparse, nested or"):
        read_state(tmp_path / "x.pth")


def test_metadata_without_end(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path, {"iuv": "[" * 100_000})
    with pytest.raises(CheckpointError, match=r"x\.safetensors: is damaged"):
        read_config(path)


@pytest.mark.parametrize("words", [0, 2**13])
def test_safetensors_that_begin_like_a_pickle(tmp_path, words):
    """By the length of their header: one in 32 files does."""
    path, begins = tmp_path / "x.safetensors", set()
    for padding in range(0, 256, 8):
        metadata = {"note": "x" * (8 * words + padding)}
        safetensors.torch.save_file({"a.b": torch.ones(1)}, path, metadata)
        begins.add(path.read_bytes()[0])
        assert list(read_state(path)) == ["a.b"]
    assert 0x80 in begins


@pytest.mark.parametrize("length", [10**6, 2**62])
def test_safetensors_with_a_header_beyond_the_file(tmp_path, length):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path)
    content = path.read_bytes()
    path.write_bytes(struct.pack("<Q", length) + content[8:])
    for read in (read_config, read_state):
        with pytest.raises(CheckpointError, match=r"x\.safetensors: is damaged"):
            read(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_deep_tuples_in_torch_files(tmp_path, legacy):
    """As the key of a dictionary, such a tuple ends the process inside torch.load."""
    good, path = tmp_path / "good.pth", tmp_path / "x.pth"
    torch.save({"key": 1}, good, _use_new_zipfile_serialization=not legacy)
    deep = b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"K\x01s."
    if legacy:
        magic, version, machine = (pickle.dumps(part, 2) for part in (_MAGIC, 1001, {}))
        path.write_bytes(magic + version + machine + deep + pickle.dumps([], 2))
    else:
        with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                content = deep if name.endswith("data.pkl") else source.read(name)
                target.writestr(name, content)
    with pytest.raises(CheckpointError, match=r"x\.pth: nests tuples over 32 deep"):
        read_state(path)


_MAGIC = 0x1950A86A20F9469CFC6C  # how torch's files began before they were archives
