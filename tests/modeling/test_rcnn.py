import pytest
import torch

from iuv.modeling.rcnn import RCNN
from tiny import TINY

CONFIGS = {
    "plain": TINY,
    "DeepLab, all confidences": TINY.replace(
        **{
            "backbone.fpn_channels": 64,
            "dense.head": "deeplab",
            "dense.nonlocal_block": True,
            "dense.uv_confidence": "indep_aniso",
            "dense.segm_confidence": True,
        }
    ),
    "legacy": TINY.replace(**{"dense.decoder": False, "dense.pool_size": 14}),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_gradients_reach_every_parameter(config):
    """Training runs the parts that inference runs: nothing in them may spoil the way back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RCNN(config)
        side, width = config.dense.pool_size, config.backbone.fpn_channels
        features, logits, deltas = model.trunk(torch.randn(1, 3, 64, 64))
        outputs = [*features, *logits, *deltas, *model.box_head(torch.randn(2, width, 7, 7))]
        charts = model.dense(torch.randn(2, width, side, side))
        outputs += [maps for maps in charts if maps is not None]
        if model.decoder is not None:
            outputs.append(model.decoder(features[:4]))
    sum(output.square().mean() for output in outputs).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


def test_nobody_has_charts_of_the_same_shape():
    model = RCNN(CONFIGS["DeepLab, all confidences"]).eval()
    with torch.inference_mode():
        features = model.trunk(torch.zeros(2, 3, 64, 64)).features
        box = torch.tensor([[0.0, 0, 40, 60]])
        nobody = model.read_charts(features, [box[:0], box[:0]])
        somebody = model.read_charts(features, [box, box])
    for none, one in zip(nobody, somebody, strict=True):
        assert [tuple(maps.shape) for maps in none] == [(0, *maps.shape[1:]) for maps in one]
