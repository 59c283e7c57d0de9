"""Images that are in memory: arrays, tensors, bytes."""

import io

import ml_dtypes
import numpy as np

from reader_cases.case import (
    RED,
    assert_color,
    of_frame,
    one_value,
    picture,
    read,
    refused,
)

SECTION = "Images in memory"
PNG = io.BytesIO()
picture().save(PNG, "PNG")
PNG = PNG.getvalue()
# Another value in each place, so that no mix-up of axes is missed.
VALUES = np.arange(5 * 6 * 3, dtype="uint8").reshape(5, 6, 3)


def assert_same(image, expected=VALUES):
    assert image.dtype == "uint8"
    np.testing.assert_array_equal(image, expected)


@read(SECTION, "NumPy, uint8, (height, width, 3)", "the same pixels")
def numpy_image(folder):
    assert_same(one_value(VALUES))


@read(SECTION, "NumPy, grey, (height, width)", "grey in all three channels")
def numpy_grey(folder):
    grey = VALUES[..., 0]
    assert_same(one_value(grey), np.stack([grey] * 3, -1))
    assert_same(one_value(grey[..., None]), np.stack([grey] * 3, -1))


@read(SECTION, "NumPy, (height, width, 4)", "alpha over white")
def numpy_alpha(folder):
    rgba = np.full((5, 6, 4), 51, "uint8")  # a fifth of 51 over white
    assert_color(one_value(rgba), (214, 214, 214))


@read(SECTION, "NumPy, channels first, (3, height, width)", "told apart")
def numpy_first(folder):
    assert_same(one_value(np.moveaxis(VALUES, -1, 0)))


@read(SECTION, "floats in [0, 1]", "scaled by 255")
def unit_floats(folder):
    assert_same(one_value(VALUES / 255.0))
    assert_same(one_value((VALUES / 255.0).astype("float32")))


@read(SECTION, "floats in [-1, 1]", "scaled by 127.5")
def signed_floats(folder):
    image = VALUES / 127.5 - 1.0
    assert_same(one_value(image))


@read(SECTION, "floats in [0, 255]", "rounded")
def byte_floats(folder):
    assert_same(one_value(VALUES.astype("float64")))


@read(SECTION, "bfloat16, float16 in [0, 1]", "scaled by 255")
def short_floats(folder):
    for dtype in ("float16", ml_dtypes.bfloat16):
        image = np.array([[0.0, 0.5, 1.0]], dtype)
        assert one_value(image)[..., 0].tolist() == [[0, 128, 255]]


@read(SECTION, "uint16", "scaled from 0 to 65535")
def deep(folder):
    assert_same(one_value(VALUES.astype("uint16") * 257))


@read(SECTION, "int64, of 0 to 255", "the same pixels")
def wide(folder):
    assert_same(one_value(VALUES.astype("int64")))


@read(SECTION, "bool", "0 and 255")
def booleans(folder):
    mask = np.array([[True, False]])
    assert one_value(mask)[..., 0].tolist() == [[255, 0]]


@read(SECTION, "nested lists of numbers", "the same pixels")
def lists(folder):
    assert_same(one_value(VALUES.tolist()))


@read(SECTION, "bytes of a PNG", "decoded")
def encoded(folder):
    assert_color(one_value(PNG), RED)
    assert_color(one_value(bytearray(PNG)), RED)
    assert_color(one_value(np.array(PNG, object)), RED)


@read(SECTION, "a dict of `bytes` and `path`", "decoded from the bytes")
def bytes_dict(folder):
    assert_color(one_value({"bytes": PNG, "path": "cat.png"}), RED)


@read(SECTION, "a dict of `path` alone, with `image_folder=`", "read there")
def path_dict(folder):
    picture().save(folder / "cat.png")
    value = {"bytes": None, "path": "cat.png"}
    assert_color(one_value(value, image_folder=folder), RED)


@read(SECTION, "a path, with `image_folder=`", "read there")
def path(folder):
    picture().save(folder / "cat.png")
    assert_color(one_value("cat.png", image_folder=folder), RED)
    assert_color(one_value(folder / "cat.png", image_folder=folder), RED)


@read(SECTION, "PyTorch, (3, height, width), on any device", "told apart")
def torch_first(folder):
    import torch

    image = torch.tensor(np.moveaxis(VALUES, -1, 0).copy())
    assert_same(one_value(image))
    unit = (image / 255).requires_grad_()
    assert_same(one_value(unit))


@read(SECTION, "PyTorch, (height, width, 3)", "the same pixels")
def torch_last(folder):
    import torch

    assert_same(one_value(torch.tensor(VALUES)))
    half = torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16)
    assert one_value(half)[..., 0].tolist() == [[0, 255]]


@refused(SECTION, "PyTorch, (3, height, 3)", "cannot be told from the shape")
def torch_unclear(folder):
    import torch

    one_value(torch.zeros((3, 8, 3)))


@read(SECTION, "the same, with `channels='first'`", "as it says")
def torch_said(folder):
    import torch

    image = VALUES[:, :3]
    tensor = torch.tensor(np.moveaxis(image, -1, 0).copy())
    assert_same(one_value(tensor, channels="first"), image)


@read(SECTION, "TensorFlow, (height, width, 3)", "the same pixels")
def tensorflow_image(folder):
    import tensorflow as tf

    assert_same(one_value(tf.constant(VALUES)))


@read(SECTION, "TensorFlow, the bytes of a PNG in a string", "decoded")
def tensorflow_bytes(folder):
    import tensorflow as tf

    assert_color(one_value(tf.constant(PNG)), RED)


@read(SECTION, "JAX, (height, width, 3)", "the same pixels")
def jax_image(folder):
    import jax.numpy as jnp

    assert_same(one_value(jnp.asarray(VALUES)))


@refused(SECTION, "a batch axis, (1, height, width, 3)", "no batch axis")
def batched(folder):
    one_value(VALUES[None])


@refused(SECTION, "two channels", "with 1, 3 or 4 channels")
def two_channels(folder):
    one_value(np.zeros((5, 6, 2), "uint8"))


@refused(SECTION, "NaN or infinity", "has NaN or infinity in it")
def nan(folder):
    one_value(np.full((5, 6, 3), np.nan))


@refused(SECTION, "complex numbers", "must be an array of numbers")
def complex_numbers(folder):
    one_value(np.zeros((5, 6, 3), "complex64"))


@refused(SECTION, "floats of two ranges in one data set", "in one range")
def mixed_ranges(folder):
    images = [VALUES / 255.0, VALUES / 1.0]
    of_frame({"image": images, "caption": ["one", "two"]})


@refused(SECTION, "one grey in no usual range", "one colour cannot be told")
def flat(folder):
    one_value(np.full((5, 6), 1000.0))


@refused(SECTION, "a path, where no folder is known", "Pass `image_folder=`")
def no_folder(folder):
    picture().save(folder / "cat.png")
    one_value(str(folder / "cat.png"))


@refused(SECTION, "a missing image (`None`, NaN)", "must have an image")
def missing(folder):
    one_value(None)


@refused(SECTION, "a number", "an image must be an array")
def number(folder):
    one_value(7)
