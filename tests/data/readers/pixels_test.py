"""Pixels of arrays against plain numbers."""

import numpy as np
import pytest

from keras_byorn.data.readers.pixels import range_of, rgb_of_array


@pytest.mark.parametrize(
    "array, expected",
    [
        (np.array([True, False]), (0, 1)),
        (np.array([0, 3], "uint8"), (0, 255)),
        (np.array([0, 3], "uint16"), (0, 65535)),
        (np.array([0.0, 1.0]), (0, 1)),
        (np.array([-0.1, 1.0]), (-1, 1)),
        (np.array([0.0, 1.1]), (0, 255)),
        (np.array([0.0, 255.5]), (0.0, 255.5)),
        (np.array([-3.0, 255.0]), (-3.0, 255.0)),
        (np.array([0, 255]), (0, 255)),
        (np.array([0, 256]), (0, 65535)),
        (np.array([-1, 7], "int16"), (-1, 7)),
        (np.array([0, 70000]), (0, 70000)),
    ],
)
def test_ranges(array, expected):
    """Of the type, a usual one, or that of the image itself."""
    assert range_of(array) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "int32"])
def test_nothing_is_clipped(dtype):
    """The order of the pixels is kept, their ends are 0 and 255."""
    values = np.linspace(0, 1 if dtype[0] == "f" else 65535, 256)
    found = rgb_of_array(values.reshape(16, 16).astype(dtype))[..., 0]
    assert found.reshape(-1).tolist() == list(range(256))


def test_a_range_that_is_named():
    """Black and white as they are said to be; uint8 has its own."""
    image = np.array([[100.0, 200.0]])
    found = rgb_of_array(image, pixel_range=(100, 300))
    assert found[0, :, 0].tolist() == [0, 128]
    same = rgb_of_array(np.array([[7]], "uint8"), pixel_range=(0, 1))
    assert same.tolist() == [[[7, 7, 7]]]


@pytest.mark.parametrize("channels", ["auto", "first"])
def test_channels_first(channels):
    """(3, height, width) becomes (height, width, 3)."""
    image = np.arange(30, dtype="uint8").reshape(3, 2, 5)
    found = rgb_of_array(image, channels=channels)
    np.testing.assert_array_equal(found, image.transpose(1, 2, 0))


def test_unclear_layouts_are_refused():
    """Both ends may be channels, or neither may."""
    unclear = np.zeros((3, 9, 4), "uint8")
    with pytest.raises(ValueError, match=r"channels='first'.*\(3, 9, 4\)"):
        rgb_of_array(unclear, channels="auto")
    assert rgb_of_array(unclear, channels="last").shape == (3, 9, 3)
    assert rgb_of_array(unclear, channels="first").shape == (9, 4, 3)
    with pytest.raises(ValueError, match="wants the shape"):
        rgb_of_array(np.zeros((8, 9, 3)), channels="first")
    for shape in ((7,), (5, 6, 7), (1, 5, 6, 3)):
        with pytest.raises(ValueError, match="must have the shape"):
            rgb_of_array(np.zeros(shape))
    with pytest.raises(ValueError, match="the image is empty"):
        rgb_of_array(np.zeros((0, 5, 3)))
