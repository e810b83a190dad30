import threading
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

import iuv
import iuv.zoo
from iuv import predictor as predictor_module
from iuv.checkpoint import CheckpointError, DownloadError, save_weights
from iuv.config import ConfigError
from iuv.images import ImageError, resize
from iuv.modeling.rcnn import RCNN
from iuv.pipeline import WORKERS
from iuv.predictor import Predictor, load
from iuv.zoo import UnknownModelError, get_model
from tiny import TINY, tiny_predictor


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(a, b):
    assert len(a) == len(b) > 0
    assert a.image_size == b.image_size
    np.testing.assert_allclose(a.boxes_xyxy, b.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    for one, other in zip(a, b, strict=True):
        same = one.labels == other.labels
        assert same.mean() > 0.99
        np.testing.assert_allclose(one.uv[:, same], other.uv[:, same], atol=1e-3)


def test_results_are_as_promised(tiny, photo):
    people = tiny(photo)
    assert 0 < len(people) <= tiny.config.box.max_people
    assert people.image_size == (60, 80)
    assert people.boxes_xyxy.dtype == np.float32
    assert (np.diff(people.scores) <= 0).all()
    person = people[0]
    assert person.labels.dtype == np.uint8
    assert person.labels.max() <= 24
    assert person.uv.dtype == np.float32
    assert (person.uv[:, person.labels == 0] == 0).all()
    assert people.iuv().shape == (60, 80, 3)


def test_classes():
    predict = tiny_predictor(TINY.replace(**{"box.num_classes": 2, "box.max_people": 30}))
    predict.model.box_head.cls.bias[1] += 5
    assert {person.class_index for person in predict(pixels(50, 70))} == {0, 1}


def test_every_kind_of_input_gives_the_same(tiny, tmp_path):
    image = pixels(50, 70)
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    expected = tiny(image)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    for same in (path, str(path), Image.fromarray(image), tensor):
        assert_same(tiny(same), expected)
    assert_same(tiny(np.ascontiguousarray(image[..., ::-1]), channel_order="bgr"), expected)


def test_lists_and_generators_give_lists(tiny):
    images = [pixels(50, 70), pixels(70, 50)]
    for many in (images, iter(images), (image for image in images)):
        people = tiny(many)
        assert [p.image_size for p in people] == [(50, 70), (70, 50)]
    assert tiny([]) == []


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_batches_of_mixed_sizes_equal_one_by_one(tiny, batch_size):
    """Images of one padded size run together, the others apart; the order is kept."""
    sizes = [(64, 64), (60, 62), (64, 100), (64, 99), (61, 64), (128, 40), (64, 64)]
    images = [pixels(*size, seed=i) for i, size in enumerate(sizes)]
    together = list(tiny.stream(images, batch_size=batch_size))
    assert [p.image_size for p in together] == sizes
    for people, image in zip(together, images, strict=True):
        assert_same(people, tiny(image))


def test_images_of_one_size_run_together_though_others_are_between(tiny):
    sizes = [(64, 64), (64, 100)] * 3
    images = [pixels(*size, seed=i) for i, size in enumerate(sizes)]
    batches = []
    hook = tiny.model.trunk.register_forward_hook(
        lambda module, inputs, outputs: batches.append(tuple(inputs[0].shape))
    )
    together = list(tiny.stream(images, batch_size=3))
    hook.remove()
    assert batches == [(3, 3, 64, 64), (3, 3, 64, 128)]
    assert [people.image_size for people in together] == sizes
    assert_same(together[3], tiny(images[3]))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_stream_reads_as_far_ahead_as_it_says(tiny, batch_size):
    """And does so in one thread, the consumer's."""
    taken = []

    def images():
        for index in range(99):
            taken.append(threading.current_thread())
            yield pixels(40, 40 if index % 2 else 80)

    stream = tiny.stream(images(), batch_size=batch_size)
    assert taken == []
    for done in range(1, 4):
        next(stream)
        assert done < len(taken) <= done + 5 * batch_size + WORKERS
    before = len(taken)
    stream.close()
    assert len(taken) == before
    assert set(taken) == {threading.current_thread()}


def test_arrays_are_not_copied(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "iuv.predictor.resize", lambda image, size: seen.append(image) or resize(image, size)
    )
    image = pixels(40, 40)
    list(tiny.stream([image, image]))
    assert all(np.shares_memory(image, other) for other in seen)
    assert len(seen) == 2


def test_files_may_be_closed_when_the_next_is_asked_for(tiny, photo):
    def images():
        for _ in range(5):
            with Image.open(photo) as image:
                yield image

    expected = tiny(photo)
    for people in tiny.stream(images()):
        assert_same(people, expected)


def test_an_unreadable_image_comes_in_turn(tiny, tmp_path):
    stream = tiny.stream([pixels(64, 64), pixels(64, 99), tmp_path / "gone.jpg"], batch_size=3)
    assert [next(stream).image_size, next(stream).image_size] == [(64, 64), (64, 99)]
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        next(stream)


def test_nobody(tiny):
    config = tiny.config
    tiny.model.config = config.replace(**{"box.min_score": 1.0})
    try:
        (first, second) = tiny.stream([pixels(40, 40), pixels(40, 40)], batch_size=2)
    finally:
        tiny.model.config = config
    assert len(first) == len(second) == 0
    assert first.iuv().max() == 0
    assert first.masks().shape == (0, 40, 40)


@pytest.mark.parametrize("size", [(2, 2), (2, 400), (400, 2), (3, 5000)])
def test_extreme_sizes_do_not_raise(tiny, size):
    assert tiny(pixels(*size)).image_size == size


def test_batch_size_below_one(tiny):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(tiny.stream([pixels(40, 40)], batch_size=0))


def test_unreadable_input_names_itself(tiny, tmp_path):
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        tiny(tmp_path / "missing.jpg")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    save_weights(RCNN(TINY).state_dict(), TINY, path)
    return path


def test_load_own_file_needs_no_config(weights):
    predict = load(weights, min_score=0.0, max_people=2)
    assert isinstance(predict, Predictor)
    assert predict.config == TINY.replace(**{"box.min_score": 0.0, "box.max_people": 2})
    assert len(predict(pixels(40, 40))) <= 2
    assert iuv.load is load


def test_limits_that_make_it_faster(weights):
    sides = {"input.short_side": TINY.input.short_side, "input.long_side": TINY.input.long_side}
    predict = load(
        weights, short_side=sides["input.short_side"] * 2, max_proposals=3, min_size=0.25
    )
    assert predict.config == TINY.replace(
        **{name: 2 * side for name, side in sides.items()},
        **{"rpn.post_nms_topk": 3, "box.min_size": 0.25, "box.min_score": 0.5},
        **{"box.max_people": 100},
    )
    with pytest.raises(ConfigError, match=r"input\.short_side must be positive, got 0"):
        load(weights, short_side=0)
    with pytest.raises(ConfigError, match=r"box\.min_size must be in \[0, 1\], got 1\.5"):
        load(weights, min_size=1.5)


def test_load_file_with_config(weights, tmp_path):
    released = tmp_path / "released.pkl"
    save_weights(RCNN(TINY).state_dict(), TINY, released)
    assert load(released, config=TINY).config.dense == TINY.dense
    with pytest.raises(ConfigError, match=r"released\.pkl does not say which model it holds"):
        load(released)
    with pytest.raises(CheckpointError):
        load(released, config="R_50_FPN_s1x")


def test_load_yaml_needs_weights(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("_BASE_: Base-DensePose-RCNN-FPN.yaml\n")
    with pytest.raises(ConfigError, match="give weights=FILE too"):
        load(path)
    with pytest.raises(FileNotFoundError, match=r"there is no weights file .*none\.pth"):
        load(path, weights=tmp_path / "none.pth")


def test_load_unknown_name_suggests():
    with pytest.raises(UnknownModelError, match="R_50_FPN_DL_s1x"):
        load("R_50_FPN_DL_s1")


def test_load_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        load(tmp_path / "none.pkl", config="R_50_FPN_s1x")


def test_config_goes_with_a_file(weights, tmp_path):
    yaml = tmp_path / "mine.yaml"
    yaml.write_text("_BASE_: Base-DensePose-RCNN-FPN.yaml\n")
    for model in ("R_50_FPN_s1x", yaml):
        with pytest.raises(ConfigError, match="config= goes with a weights file"):
            load(model, config=TINY, weights=weights)


def test_two_weights_files(weights):
    with pytest.raises(ConfigError, match="give one weights file"):
        load(weights, weights=weights)


def test_yaml_is_a_model_or_a_config(weights, tmp_path):
    yaml = tmp_path / "mine.yaml"
    yaml.write_text("_BASE_: densepose_rcnn_R_101_FPN_s1x.yaml\n")
    expected = iuv.zoo.get_model("R_101_FPN_s1x").config
    assert predictor_module.resolve_model(yaml, weights) == (expected, weights)
    assert predictor_module.resolve_model(weights, config=yaml) == (expected, weights)


def test_unknown_engine(weights):
    with pytest.raises(ValueError, match=r"engine must be one of auto, eager, .*, got 'fast'"):
        load(weights, engine="fast")


def test_offline_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("IUV_HOME", str(tmp_path))
    asked = []

    def no_network(request):
        asked.append(request.full_url)
        raise URLError("no network in this test")

    monkeypatch.setattr("iuv.checkpoint.download._open", no_network)
    with pytest.raises(DownloadError, match=r"put it at .*model_final_162be9\.pkl"):
        load("R_50_FPN_s1x")
    assert asked == [get_model("R_50_FPN_s1x").weights_url]


def test_weights_that_overflow_are_reported():
    predict = tiny_predictor()
    with torch.no_grad():
        predict.model.trunk.fpn.lateral5.weight.fill_(3e38)
    with pytest.raises(ValueError, match="no finite box"):
        predict(pixels(40, 40))
