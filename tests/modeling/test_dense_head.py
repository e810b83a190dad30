import pytest
import torch

from iuv.config import DenseConfig
from iuv.modeling.chart import ChartPredictor
from iuv.modeling.dense_head import ConvHead, DeepLabHead


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.inference_mode():
            yield


def test_attention_is_the_non_local_block():
    """Written out pixel by pixel: softmax over a subsampled map, no scaling, residual."""
    head = DeepLabHead(64, DenseConfig(head="deeplab", nonlocal_block=True, conv_dim=32))
    block = head.attention
    x = torch.randn(2, 64, 6, 6)
    ours = block(x)
    pool = torch.nn.MaxPool2d(2)
    for roi in range(2):
        query, key, value = block.query(x)[roi], block.key(x), block.value(x)
        key, value = pool(key)[roi].flatten(1), pool(value)[roi].flatten(1)  # [32, 9]
        attended = torch.zeros(32, 6, 6)
        for i in range(6):
            for j in range(6):
                weights = torch.softmax(query[:, i, j] @ key, dim=0)
                attended[:, i, j] = value @ weights
        expected = x[roi] + block.norm(block.project(attended[None]))[0]
        torch.testing.assert_close(ours[roi], expected, rtol=1e-4, atol=1e-4)


def test_head_without_norm_has_biases():
    head = DeepLabHead(64, DenseConfig(head="deeplab", group_norm=False, conv_dim=32, num_convs=2))
    assert [conv.conv.bias is not None for conv in head.convs] == [True, True]
    assert head(torch.randn(1, 64, 8, 8)).shape == (1, 32, 8, 8)


@pytest.mark.parametrize("head", [ConvHead, DeepLabHead])
def test_heads_keep_the_size(head):
    config = DenseConfig(head="deeplab", conv_dim=64, num_convs=3)
    assert head(32, config)(torch.randn(3, 32, 14, 14)).shape == (3, 64, 14, 14)


def test_chart_fields_follow_the_configuration():
    config = DenseConfig(
        conv_dim=32, uv_confidence="indep_aniso", segm_confidence=True, coarse_channels=15
    )
    maps = ChartPredictor(config)(torch.randn(2, 32, 7, 7))
    shapes = {name: tuple(value.shape) for name, value in maps._asdict().items()}
    channels = dict.fromkeys(shapes, 25) | {
        "coarse_segm": 15,
        "fine_segm_confidence": 1,
        "coarse_segm_confidence": 1,
    }
    assert shapes == {name: (2, c, 28, 28) for name, c in channels.items()}
    assert maps.fine_segm_confidence.min() > config.segm_confidence_epsilon


def test_chart_without_confidences():
    maps = ChartPredictor(DenseConfig(conv_dim=32))(torch.randn(1, 32, 7, 7))
    assert [name for name, value in maps._asdict().items() if value is not None] == [
        "coarse_segm",
        "fine_segm",
        "u",
        "v",
    ]


def test_one_deconvolution_equals_one_per_field():
    predictor = ChartPredictor(DenseConfig(conv_dim=32, segm_confidence=True))
    x = torch.randn(2, 32, 7, 7)
    maps = predictor(x)
    apart = torch.nn.functional.interpolate(
        predictor.v(x), scale_factor=2, mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(maps.v, apart, rtol=1e-5, atol=1e-5)
