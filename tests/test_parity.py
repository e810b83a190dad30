"""Whole models against the reference, stage by stage and end to end.

Weights and photos are those of tests/golden/README.md; a tolerance is the reference's own float32
rounding noise with a margin. "Given boxes" feeds the dense branch the reference's boxes, bit for
bit; "own boxes" is the complete pipeline, where rounding of the boxes is amplified.
"""

import functools
import json

import numpy as np
import pytest
import torch
from PIL import Image

import iuv.predictor as predictor_module
from hashing import GOLDEN, sample_positions, state_dict
from iuv.checkpoint.keys import from_released
from iuv.decode import read_out
from iuv.images import input_size, resize
from iuv.modeling.rcnn import RCNN, network_input
from iuv.modeling.rpn import decode_proposals, select_proposals
from iuv.predictor import Predictor
from iuv.results import CONFIDENCE_FIELDS, quantize_uv
from iuv.runtime.eager import prepare_eager, use_winograd
from iuv.zoo import get_model

CASES = [
    ("e2e", "R_50_FPN_s1x"),
    ("e2e", "R_50_FPN_s1x_legacy"),
    ("e2e", "R_50_FPN_DL_s1x"),
    ("e2e", "R_50_FPN_WC1_s1x"),
    ("e2e", "R_50_FPN_WC2_s1x"),
    ("e2e", "R_50_FPN_WC1M_s1x"),
    ("e2e", "R_101_FPN_s1x"),
    ("e2e", "R_101_FPN_DL_WC1_s1x"),
    ("e2e_wide", "R_50_FPN_s1x"),
]
LEVELS = ("p2", "p3", "p4", "p5", "p6")


class Case:
    """One golden run, and ours of the same model on the same photo."""

    def __init__(self, folder: str, name: str) -> None:
        stem = GOLDEN / folder / f"densepose_rcnn_{name}"
        with np.load(stem.with_suffix(".npz")) as data:
            self.golden = {key: data[key] for key in data}
        self.facts = json.loads(stem.with_suffix(".json").read_text())
        config = get_model(name).config.replace(**{"box.min_score": 0.0, "box.max_people": 5})
        with torch.device("meta"):
            network = RCNN(config)
        weights = {from_released(key): value for key, value in state_dict(name).items()}
        network.load_state_dict(weights, assign=True)
        device = torch.device("cpu")
        network = use_winograd(prepare_eager(network, device))  # as `build_model` has it
        self.predictor = Predictor(network, device=device)
        self.model = self.predictor.model
        self.photo = np.asarray(Image.open(GOLDEN / self.facts["image"]).convert("RGB"))
        self.size = tuple(self.golden["input_hw_unpadded"].tolist())
        with torch.inference_mode():
            resized = torch.tensor(resize(self.photo, self.size))
            padded = predictor_module.padded_size(self.size)
            self.batch = network_input([resized], padded, config.input)
            self.trunk = self.model.trunk(self.batch)

    def compare(self, name: str, ours: torch.Tensor, tolerance: float) -> None:
        """Compare a tensor with its golden samples and statistics."""
        assert tuple(ours.shape) == tuple(self.golden[f"{name}_shape"]), name
        samples = self.golden[f"{name}_samples"]
        positions = sample_positions(ours.numel(), samples.size)
        flat = ours.contiguous().flatten().numpy()
        np.testing.assert_allclose(flat[positions], samples, rtol=0, atol=tolerance, err_msg=name)
        flat = flat.astype(np.float64)
        stats = [flat.mean(), np.sqrt((flat**2).mean()), flat.min(), flat.max()]
        np.testing.assert_allclose(
            stats, self.golden[f"{name}_stats"], rtol=0, atol=tolerance, err_msg=name
        )


@functools.lru_cache(maxsize=1)  # one model in memory at a time
def load_case(folder: str, name: str) -> Case:
    return Case(folder, name)


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def case(request):
    return load_case(*request.param)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def test_input(case):
    limits = case.predictor.config.input
    size = input_size(case.photo.shape[:2], limits.short_side, limits.long_side)
    assert size == case.size
    case.compare("input", case.batch, 1e-4)


def test_trunk(case):
    for level, feature, logits, deltas in zip(LEVELS, *case.trunk, strict=True):
        case.compare(level, feature, 5e-4)
        case.compare(f"rpn_logits_{level}", logits, 1e-3)
        case.compare(f"rpn_deltas_{level}", deltas, 1e-3)


def test_proposals(case):
    _, logits, deltas = case.trunk
    config = case.model.config.rpn
    candidates = decode_proposals(logits, deltas, config)
    ((boxes, scores),) = select_proposals(*candidates, [case.size], config)
    assert len(boxes) == case.golden["n_proposals"]
    np.testing.assert_allclose(scores[:50], case.golden["proposals50_logits"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(boxes[:50], case.golden["proposals50_boxes"], rtol=0, atol=0.03)


def test_fixed_boxes(case):
    """Both heads on boxes that bypass proposals and non-maximum suppression."""
    boxes = torch.from_numpy(case.golden["fixed_boxes"]).float()
    features = case.trunk.features
    pooled = case.model.pool_boxes(features, [boxes])
    case.compare("fixed_box_pool", pooled, 1e-3)
    logits, deltas = case.model.box_head(pooled)
    np.testing.assert_allclose(logits, case.golden["fixed_cls_logits"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(deltas, case.golden["fixed_bbox_deltas"], rtol=0, atol=1e-3)
    if case.model.decoder is not None:
        case.compare("decoder", case.model.decoder(features[:4]), 1e-3)
    pooled = case.model.pool_people(features, [boxes])
    case.compare("fixed_dp_pool", pooled, 1e-3)
    head = case.model.dense.head(pooled)
    case.compare("fixed_dp_head", head, 1e-3)
    for name, maps in case.model.dense.chart(head)._asdict().items():
        assert (maps is not None) == (name in case.facts["predictor_fields"])
        if maps is not None:
            case.compare(f"fixed_pred_{name}", maps, 2e-3)


def test_given_boxes(case):
    boxes = torch.from_numpy(case.golden["roi_top20_boxes_network_coords"][:5])
    (charts,) = case.model.read_charts(case.trunk.features, [boxes])
    for name, maps in charts._asdict().items():
        if maps is not None:
            case.compare(f"det_pred_{name}", maps, 2e-3)
    for i in range(2):
        index = int(case.golden[f"det{i}_index"])
        _, _, w, h = case.golden[f"det{i}_box_xywh_int"].tolist()
        fields = read_out(charts.at(index), height=h, width=w)
        fields = {name: value.numpy() for name, value in fields.items()}
        clear = np.unpackbits(case.golden[f"det{i}_ambiguous_bits"], count=h * w) == 0
        wrong = fields["labels"] != case.golden[f"det{i}_labels"]
        assert not (wrong.ravel() & clear).any()
        compare_read_out(case, i, fields, uv_tolerance=1e-3)


def compare_read_out(case, i, fields, uv_tolerance):
    """Compare U, V and confidences where the labels agree."""
    golden = case.golden
    same = fields["labels"] == golden[f"det{i}_labels"]
    bytes_apart = quantize_uv(fields["uv"]).astype(int) - golden[f"det{i}_uv_uint8"]
    assert np.abs(bytes_apart[:, same]).max() <= (1 if uv_tolerance < 5e-3 else 3)
    positions = sample_positions(same.size, 2048)
    keep = same.ravel()[positions]
    uv = fields["uv"].reshape(2, -1)[:, positions]
    np.testing.assert_allclose(
        uv[:, keep], golden[f"det{i}_uv_samples"][:, keep], rtol=0, atol=uv_tolerance
    )
    for name in CONFIDENCE_FIELDS:
        if f"det{i}_conf_{name}_samples" in golden:
            ours = fields[name].ravel()[positions][keep]
            theirs = golden[f"det{i}_conf_{name}_samples"][keep]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=uv_tolerance, err_msg=name)


def test_own_boxes(case, monkeypatch):
    """The complete pipeline, from the photo to `People`."""

    def same_trunk(batch):  # it has been run on this input before, for the tests above
        assert torch.equal(batch, case.batch)
        return case.trunk

    monkeypatch.setattr(case.model.trunk, "forward", same_trunk)
    people = case.predictor(case.photo)
    golden = case.golden
    np.testing.assert_allclose(people.boxes_xyxy, golden["det_boxes"], rtol=0, atol=0.05)
    np.testing.assert_allclose(people.scores, golden["det_scores"], rtol=0, atol=1e-3)
    for i in range(2):
        person = people[int(golden[f"det{i}_index"])]
        assert list(person.box_xywh) == golden[f"det{i}_box_xywh_int"].tolist()
        assert (person.labels != golden[f"det{i}_labels"]).mean() <= 0.01
        fields = {"labels": person.labels, "uv": person.uv, **person.confidences()}
        compare_read_out(case, i, fields, uv_tolerance=0.01)
    areas = [int(person.mask().sum()) for person in people]
    np.testing.assert_allclose(areas, case.facts["mask_pixel_counts"], rtol=0.01, atol=3)


def test_top_detections(case):
    """At least 18 of the reference's first 20 boxes, and the first 5 in order."""
    config = case.model.config
    case.model.config = config.replace(**{"box.max_people": 100})
    try:
        _, logits, deltas = case.trunk
        candidates = decode_proposals(logits, deltas, config.rpn)
        ((proposals, _),) = select_proposals(*candidates, [case.size], config.rpn)
        pooled = case.model.pool_boxes(case.trunk.features, [proposals])
        (found,) = case.model.detect_boxes(pooled, [proposals], [case.size])
    finally:
        case.model.config = config
    expected = torch.from_numpy(case.golden["roi_top20_boxes_network_coords"])
    distance = (expected[:, None] - found.boxes[None]).abs().amax(-1)
    assert (distance.amin(1) < 0.05).sum() >= 18
    assert (expected[:5] - found.boxes[:5]).abs().max() < 0.05
