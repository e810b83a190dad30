"""Every kind of image becomes the same upright uint8 RGB, and every bad one a clear error."""

import json
import os
import re
import shutil
import struct
import sys
import warnings
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event, Semaphore

import numpy as np
import pytest
import torch
from PIL import Image

from hashing import GOLDEN
from iuv import images
from iuv.images import MAX_PIXELS, ImageError, check_image, input_size, read_image, resize


@pytest.fixture
def rgb():
    """A small picture without any symmetry."""
    return np.random.default_rng(3).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(tmp_path, image, name="photo.png", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(tmp_path / name, **options)
    return tmp_path / name


def refuses(source, *words):
    """The message names the source and says these words."""
    with pytest.raises(ImageError) as caught:
        read_image(source)
    for word in words:
        assert word in str(caught.value)


# Files and PIL images


def test_a_photo_reads_as_pillow_decodes_it():
    path = GOLDEN / "astronaut.png"
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")))
    np.testing.assert_array_equal(pixels, read_image(str(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_exif_orientation_is_applied(tmp_path, rgb, orientation, suffix):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, rgb, f"photo.{suffix}", exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        np.testing.assert_array_equal(read_image(image), expected)
    assert expected.shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_impossible_orientation_is_ignored(tmp_path, rgb, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(saved(tmp_path, rgb, exif=exif)), rgb)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\0\x05"]
)
def test_broken_exif_does_not_refuse_the_picture(tmp_path, rgb, exif):
    path = saved(tmp_path, rgb, "photo.jpg", exif=exif, quality=95)
    assert read_image(path).shape == (6, 9, 3)


def test_alpha_is_dropped_not_blended(tmp_path, rgb):
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 10, np.uint8)])
    np.testing.assert_array_equal(read_image(saved(tmp_path, alpha)), rgb)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_is_repeated(tmp_path, rgb, mode):
    image = Image.fromarray(rgb[..., 0]).convert(mode)
    expected = rgb[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(read_image(saved(tmp_path, image)), expected)
    np.testing.assert_array_equal(read_image(image), expected)


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(200))])
def test_palettes_with_and_without_transparency(tmp_path, rgb, transparency):
    image = Image.fromarray(rgb).quantize(40)
    options = {} if transparency is None else {"transparency": transparency}
    path = saved(tmp_path, image, **options)
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))


def test_one_bit(tmp_path):
    bits = np.eye(5, dtype=bool)
    pixels = read_image(saved(tmp_path, Image.fromarray(bits)))
    np.testing.assert_array_equal(pixels, (bits[..., None] * np.uint8(255)).repeat(3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_the_upper_byte(tmp_path, suffix):
    deep = np.array([[0, 255, 256], [40000, 65279, 65535]], dtype=np.uint16)
    pixels = read_image(saved(tmp_path, deep, f"deep.{suffix}"))
    np.testing.assert_array_equal(pixels[..., 1], [[0, 0, 1], [156, 254, 255]])
    np.testing.assert_array_equal(pixels, read_image(deep))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_every_sixteen_bit_mode_of_pillow(mode):
    deep = np.array([[0, 513], [40000, 65535]])
    image = Image.frombytes(mode, (2, 2), _pack(deep, mode))
    np.testing.assert_array_equal(read_image(image)[..., 0], [[0, 2], [156, 255]])


def _pack(array, mode):
    return array.astype({"I;16": "<u2", "I;16B": ">u2", "I": np.int32}[mode]).tobytes()


@pytest.mark.parametrize("value", [-1, 65536])
def test_whole_numbers_beyond_sixteen_bit_are_refused(value):
    image = Image.fromarray(np.array([[0, 1], [2, value]], dtype=np.int32))
    refuses(image, "the PIL image (I, 2x2)", "16 bit (0..65535)", str(value), "scale")


def test_float_files(tmp_path):
    ramp = np.array([[0.0, 0.25], [0.5, 1.0]], dtype=np.float32)
    pixels = read_image(saved(tmp_path, ramp, "ramp.tif"))
    np.testing.assert_array_equal(pixels[..., 2], [[0, 64], [128, 255]])
    path = saved(tmp_path, ramp * 200, "big.tif")
    refuses(path, str(path), "0..1", "from 0 to 200", "divide by 255")


def test_cmyk(tmp_path, rgb):
    image = Image.fromarray(rgb).convert("CMYK")
    path = saved(tmp_path, image, "print.tif")
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))


def test_an_animation_gives_its_first_frame(tmp_path, rgb):
    first, second = Image.fromarray(rgb).quantize(50), Image.new("P", (9, 6))
    path = saved(tmp_path, first, "clip.gif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(path), np.asarray(first.convert("RGB")))


def test_colours_pillow_cannot_convert_are_refused():
    refuses(Image.new("La", (4, 4)), "(La)", "RGB")


@pytest.mark.skipif(sys.platform != "linux", reason="counts the entries of /proc/self/fd")
def test_no_file_stays_open(tmp_path, rgb):
    good = saved(tmp_path, rgb)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    before = len(os.listdir("/proc/self/fd"))
    read_image(good)
    refuses(bad)
    assert len(os.listdir("/proc/self/fd")) == before


# Bad files


def test_missing_file(tmp_path):
    refuses(tmp_path / "gone.jpg", str(tmp_path / "gone.jpg"), "no such file")


def test_folder(tmp_path):
    refuses(tmp_path, str(tmp_path), "is a folder")


def test_text_named_jpg(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    refuses(path, str(path), "not an image", "JPEG or PNG")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    refuses(path, str(path), "empty (0 bytes)")


def test_path_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    refuses(tmp_path / "file" / "photo.jpg", "photo.jpg", "cannot be read (Not a directory)")


def test_a_name_too_long_for_the_system(tmp_path):
    refuses(tmp_path / ("x" * 300), "xxx", "cannot be read")


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "photo.webp"])
def test_truncated_files(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)
    path = saved(tmp_path, noise, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    refuses(path, str(path))


def test_a_png_with_damaged_bytes(tmp_path, rgb):
    path = saved(tmp_path, rgb)
    data = bytearray(path.read_bytes())
    data[60:70] = b"\xff" * 10
    path.write_bytes(data)
    refuses(path, str(path), "damaged or incomplete", "get it again")


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_too_few_pixels(tmp_path, size):
    path = saved(tmp_path, Image.new("RGB", size))
    words = (f"{size[0]}x{size[1]} pixels are too few", "at least 2")
    refuses(path, str(path), *words)
    refuses(Image.new("RGB", size), "the PIL image", *words)
    refuses(np.zeros((size[1], size[0], 3), np.uint8), "the array", *words)


def test_no_pixels():
    refuses(np.zeros((0, 0, 3), np.uint8), "0x0 pixels are too few")
    refuses(Image.new("RGB", (0, 5)), "0x5 pixels are too few")
    refuses(torch.zeros(3, 0, 7), "7x0 pixels are too few")


def test_the_smallest_image():
    assert read_image(np.zeros((2, 2, 3), np.uint8)).shape == (2, 2, 3)


def png_of_size(path, width, height):
    """Rewrite only the size in a PNG's header: Pillow must not get as far as its pixels."""
    import zlib

    Image.new("L", (2, 2)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("side", [12000, 20000, 100_000])
def test_huge_files_are_refused_before_decoding(tmp_path, side):
    path = png_of_size(tmp_path / "huge.png", side, side)
    refuses(path, str(path), "134 million pixels", "shrink it first")


def test_large_files_raise_no_warning_of_pillow(tmp_path):
    """Between Pillow's warning (89 million) and the limit, only the damage is reported."""
    path = png_of_size(tmp_path / "large.png", 10_000, 10_000)
    refuses(path, "damaged or incomplete")


def test_reading_in_threads_leaves_the_warnings_of_others_alone(tmp_path, rgb, monkeypatch):
    """One thread begins to read before another, and ends before it."""
    path, inside, may_end = saved(tmp_path, rgb), Semaphore(0), [Event(), Event()]
    ends = iter(may_end)
    real = images._from_pil

    def slow(image, name):
        end = next(ends)
        inside.release()
        assert end.wait(20)
        return real(image, name)

    monkeypatch.setattr(images, "_from_pil", slow)
    with ThreadPoolExecutor(2) as pool:
        readings = [pool.submit(read_image, path) for _ in may_end]
        assert inside.acquire(timeout=20)
        assert inside.acquire(timeout=20)
        with pytest.raises(UserWarning, match="mine"):  # as our tests are set up
            warnings.warn("mine", stacklevel=1)
        may_end[0].set()
        wait(readings, timeout=20, return_when=FIRST_COMPLETED)
        may_end[1].set()
        for reading in readings:
            np.testing.assert_array_equal(reading.result(), rgb)
    with pytest.raises(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_huge_arrays_are_refused_too():
    thin = np.broadcast_to(np.uint8(0), (20_000, 20_000, 3))
    refuses(thin, "20000x20000", "shrink it first")
    assert 10_000 * 12_000 < MAX_PIXELS < 20_000 * 20_000


# Arrays and tensors


def test_an_array_is_taken_as_it_is(rgb):
    assert np.shares_memory(read_image(rgb), rgb)
    view = rgb[::-1, ::-1]
    assert read_image(view).flags.c_contiguous
    np.testing.assert_array_equal(read_image(view), view)


def test_bgr_on_request(rgb):
    alpha = np.dstack([rgb[..., ::-1], rgb[..., 0]])
    np.testing.assert_array_equal(read_image(rgb[..., ::-1], channel_order="bgr"), rgb)
    np.testing.assert_array_equal(read_image(alpha, channel_order="bgr"), rgb)
    tensor = torch.from_numpy(rgb[..., ::-1].copy()).permute(2, 0, 1)
    np.testing.assert_array_equal(read_image(tensor, channel_order="bgr"), rgb)


def test_channel_order_does_not_concern_pil_images(rgb):
    image = Image.fromarray(rgb)
    np.testing.assert_array_equal(read_image(image, channel_order="bgr"), rgb)


def test_unknown_channel_order(rgb):
    with pytest.raises(ImageError, match="must be 'rgb' or 'bgr', got 'rbg'"):
        read_image(rgb, channel_order="rbg")


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1)])
def test_grey_arrays(shape):
    grey = np.arange(54, dtype=np.uint8).reshape(shape)
    pixels = read_image(grey)
    assert pixels.shape == (6, 9, 3)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], grey.reshape(6, 9))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_are_in_0_to_1(rgb, dtype):
    np.testing.assert_array_equal(read_image((rgb / 255).astype(dtype)), rgb)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, np.nan, np.inf])
def test_floats_outside_0_to_1_are_refused(value):
    array = np.zeros((4, 4, 3), np.float32)
    array[2, 2, 2] = value
    refuses(array, "the array (4, 4, 3) of float32", "0..1", "divide by 255")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint32, complex, object])
def test_types_without_a_meaning_are_refused(dtype):
    refuses(np.zeros((4, 4, 3), dtype), np.dtype(dtype).name, "uint8", "uint16", "floats (0..1)")


@pytest.mark.parametrize("shape", [(3, 6, 9), (6, 9, 2), (1, 6, 9, 3), (54,), (6, 9, 5)])
def test_shapes_without_a_meaning_are_refused(shape):
    refuses(np.zeros(shape, np.uint8), str(shape), "[H, W, 3]", "transpose", "list(batch)")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_tensors_of_either_layout(rgb, dtype):
    tensor = torch.from_numpy(rgb)
    if dtype.is_floating_point:
        tensor = (tensor.to(dtype) / 255).requires_grad_()
    np.testing.assert_array_equal(read_image(tensor), rgb)
    np.testing.assert_array_equal(read_image(tensor.permute(2, 0, 1)), rgb)


def test_half_precision_tensors():
    values = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
    for dtype in (torch.float16, torch.bfloat16):
        pixels = read_image(values.to(dtype))
        np.testing.assert_array_equal(pixels[..., 0], [[0, 64], [128, 255]])


def test_grey_tensors():
    grey = torch.arange(54, dtype=torch.uint8).reshape(6, 9)
    for tensor in (grey, grey[None], grey[..., None]):
        np.testing.assert_array_equal(read_image(tensor)[..., 1], grey.numpy())


def test_a_tensor_of_two_possible_layouts_is_refused():
    refuses(torch.zeros(3, 100, 3), "(3, 100, 3)", "first or its last", "numpy array")


def test_a_batch_is_refused():
    refuses(torch.zeros(1, 3, 10, 10), "(1, 3, 10, 10)", "list(batch)")


@pytest.mark.parametrize("source", [None, 5, b"photo.jpg", ["photo.jpg"]])
def test_other_types_are_refused(source):
    refuses(source, f"cannot read an image from {type(source).__name__}", "a path, a PIL image")


def test_a_photo_survives_a_copy_under_any_suffix(tmp_path):
    """What a file is depends on its content only."""
    shutil.copy(GOLDEN / "person_small.png", tmp_path / "person.dat")
    expected = read_image(GOLDEN / "person_small.png")
    np.testing.assert_array_equal(read_image(tmp_path / "person.dat"), expected)


def test_messages_are_one_line(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("x")
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert re.fullmatch(r".+", str(caught.value))


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, ValueError, KeyError])
def test_whatever_a_decoder_raises_at_opening(tmp_path, rgb, monkeypatch, error):
    path = saved(tmp_path, rgb)

    def fail(*_args, **_kwargs):
        raise error("odd header")

    monkeypatch.setattr(Image, "open", fail)
    refuses(path, "photo.png: damaged or incomplete", "odd header")


def test_a_damaged_header(tmp_path):
    (tmp_path / "x.ppm").write_bytes(b"P6 4\xff 4 255 " + bytes(48))
    refuses(tmp_path / "x.ppm", "x.ppm: damaged or incomplete")


def test_postscript_is_not_executed(tmp_path, rgb):
    path = saved(tmp_path, rgb, "x.eps").rename(tmp_path / "x.jpg")
    refuses(path, "x.jpg: is a PostScript program", "is not executed")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    refuses(tmp_path / "x.jpg", "x.jpg: is no file but a pipe or device")


def test_an_icon_cannot_understate_its_size(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.new("RGB", (64, 64)), "x.ico", sizes=[(64, 64)])
    content = bytearray(path.read_bytes())
    content[6:8] = 16, 16  # what the directory of the file says
    path.write_bytes(content)
    monkeypatch.setattr("iuv.images.MAX_PIXELS", 1000)
    refuses(path, "64x64", "million pixels are not read")


def test_sizes_equal_the_reference():
    facts = json.loads((GOLDEN / "ops" / "ops.json").read_text())["resize_shortest_edge"]
    for fact in facts:
        assert input_size(fact["hw"], 800, 1333) == tuple(fact["short800_max1333"])
        assert input_size(fact["hw"], 640, 1000) == tuple(fact["short640_max1000"])


def test_resize_equals_the_reference():
    with np.load(GOLDEN / "ops" / "resize.npz") as data:
        golden = {name: data[name] for name in data}
    image = golden["image_61x83x3"]
    for name, expected in golden.items():
        if name.startswith("uint8_to_"):
            np.testing.assert_array_equal(resize(image, expected.shape[:2]), expected)


def test_a_file_can_be_checked_without_decoding_it(tmp_path, rgb):
    path = saved(tmp_path, rgb)
    path.write_bytes(path.read_bytes()[:60])  # the header is whole
    check_image(path)
    refuses(path, "damaged or incomplete")
    for content, message in ((b"", "empty"), (b"text", "not an image"), (None, "no such file")):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(ImageError, match=message):
            check_image(path)
    with pytest.raises(ImageError, match="1x9 pixels are too few"):
        check_image(saved(tmp_path, np.zeros((9, 1, 3), np.uint8), "narrow.png"))
