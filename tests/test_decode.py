"""The read-out against the reference's numbers, and against its literal form."""

import numpy as np
import pytest
import torch

from hashing import GOLDEN, sample_positions, uniform
from iuv import decode
from iuv.bench.plain import plain_read_out
from iuv.decode import box_to_pixels, decode_people, read_out
from iuv.results import CONFIDENCE_FIELDS, ChartOutputs, quantize_uv

# The maps that the original decoded: a coarse pattern, 8 x 8 pixels a cell, times the first number;
# a fine one times the second; and the third added (see `synthetic_charts`).
FORMULA = {
    "coarse_segm": (3, 0.3, 0),
    "fine_segm": (3, 0.3, 0),
    "u": (0.6, 0.05, 0.5),
    "v": (0.6, 0.05, 0.5),
    "sigma_2": (2, 0.2, 0),
    "kappa_u": (2, 0.2, 0),
    "kappa_v": (2, 0.2, 0),
    "fine_segm_confidence": (0.5, 0.05, 1),
    "coarse_segm_confidence": (0.5, 0.05, 1),
}


def synthetic_charts(name: str) -> ChartOutputs:
    side, coarse = (112, 2) if name == "s112_c2" else (56, 15)
    fields = list(FORMULA) if name == "s112_c2" else list(FORMULA)[:4]
    maps = {}
    for field in fields:
        channels = {"coarse_segm": coarse}.get(field, 1 if "confidence" in field else 25)
        a, b, offset = (np.float32(x) for x in FORMULA[field])
        base = uniform(f"decode/{name}/{field}/base", (12, channels, side // 8, side // 8)) * a
        fine = uniform(f"decode/{name}/{field}/fine", (12, channels, side, side)) * b
        value = base.repeat(8, axis=2).repeat(8, axis=3) + fine + offset
        maps[field] = torch.from_numpy(value)
    return ChartOutputs(**maps)


@pytest.fixture(scope="module", params=["s112_c2", "s56_c15"])
def case(request):
    with np.load(GOLDEN / "decode" / f"chart_{request.param}.npz") as data:
        return synthetic_charts(request.param), {key: data[key] for key in data}


def test_inputs_are_the_golden_ones(case):
    charts, golden = case
    for name, value in charts._asdict().items():
        if value is not None:
            samples = value.flatten()[sample_positions(value.numel(), 256)]
            np.testing.assert_array_equal(samples.numpy(), golden[f"input_{name}_samples"])


@pytest.mark.parametrize("index", range(12))
def test_equals_reference(case, index):
    charts, golden = case
    box = golden["boxes_xyxy"][index]
    x, y, w, h = box_to_pixels(box)
    assert [x, y] == golden[f"box{index}_xywh_int"][:2].tolist()
    assert [w, h] == np.maximum(golden[f"box{index}_xywh_int"][2:], 1).tolist()

    fields = {k: v.numpy() for k, v in read_out(charts.at(index), height=h, width=w).items()}
    expected = golden[f"box{index}_labels"]
    packed = golden[f"box{index}_ambiguous_bits"]
    clear = np.unpackbits(packed, count=h * w).reshape(h, w) == 0
    np.testing.assert_array_equal(fields["labels"][clear], expected[clear])

    same = (fields["labels"] == expected).ravel()
    count = h * w
    positions = np.arange(count) if count <= 2048 else sample_positions(count, 2048)
    keep = same[positions]
    uv = fields["uv"].reshape(2, -1)[:, positions]
    np.testing.assert_allclose(uv[:, keep], golden[f"box{index}_uv"][:, keep], atol=2e-5)
    for name in CONFIDENCE_FIELDS:
        if name in fields:
            values = fields[name].ravel()[positions]
            np.testing.assert_allclose(
                values[keep], golden[f"box{index}_{name}"].ravel()[keep], atol=5e-5
            )
    if f"box{index}_uv_uint8" in golden:
        ours = quantize_uv(fields["uv"]).astype(int)[:, same.reshape(h, w)]
        theirs = golden[f"box{index}_uv_uint8"].astype(int)[:, same.reshape(h, w)]
        assert np.abs(ours - theirs).max(initial=0) <= 1


def test_masks_equal_reference(case):
    """Where the reference raises (boxes beyond the image) ours is cut at the border instead.

    A box below one pixel keeps its one pixel here; the reference pastes nothing.
    """
    charts, golden = case
    boxes = torch.from_numpy(golden["boxes_xyxy"])
    people = decode_people(charts, boxes, torch.linspace(1, 0.5, 12), torch.arange(12), (480, 640))
    for index, person in enumerate(people):
        assert person.class_index == index
        key = f"box{index}_mask_bits"
        if key not in golden or 0 in golden[f"box{index}_xywh_int"][2:]:
            continue
        expected = np.unpackbits(golden[key], count=480 * 640).reshape(480, 640).astype(bool)
        ambiguous = golden[f"box{index}_ambiguous_bits"]
        allowed = int(np.unpackbits(ambiguous).sum())
        assert (person.mask() != expected).sum() <= allowed


@pytest.mark.parametrize("band", [1 << 19, 1000])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 90), (300, 2), (112, 112), (211, 333)])
def test_the_form_for_gpus_equals_the_literal_form(case, monkeypatch, band, height, width):
    """Here it runs on the processor; tests/test_readout.py has the form for processors."""
    monkeypatch.setattr(decode, "_BAND_PIXELS", band)
    maps = case[0].at(3)
    monkeypatch.setattr(decode, "_read_cells", decode._read_all)
    ours = read_out(maps, height=height, width=width)
    plain = plain_read_out(maps, height=height, width=width)
    assert list(ours) == list(plain)
    same = ours["labels"] == plain["labels"]
    assert (~same).float().mean() < 1e-3  # rounding at exact borders
    for name in ours:
        difference = ((ours[name].float() - plain[name].float()) * same).abs().max()
        assert difference < 5e-5, name


def test_equal_logits_are_background():
    maps = ChartOutputs(
        torch.zeros(2, 8, 8), torch.ones(25, 8, 8), torch.ones(25, 8, 8), torch.ones(25, 8, 8)
    )
    fields = read_out(maps, height=5, width=5)
    assert fields["labels"].max() == 0
    assert fields["uv"].abs().max() == 0
