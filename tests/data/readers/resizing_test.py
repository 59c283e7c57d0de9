"""Images become of one size as the task's converter would make them."""

import numpy as np
import pytest
from reader_cases.case import tiny

from keras_byorn.data.readers.resizing import Resizing, resizing_for
from keras_byorn.vlm.task import VisionLanguageTask

HALVES = np.zeros((40, 20, 3), "uint8")  # black above white
HALVES[20:] = 255


def test_ways_to_fit():
    """Cut to the middle, with bars, or stretched."""
    crop = Resizing((8, 8), "crop")(HALVES)
    pad = Resizing((8, 8), "pad")(HALVES)
    stretch = Resizing((8, 8), "stretch")(HALVES)
    for image in (crop, pad, stretch):
        assert image.shape == (8, 8, 3) and image.dtype == "uint8"
        assert image[0].max() == 0 and image[-1].max() == 255
    assert pad[:, 0].max() == 0 and pad[-1, 4, 0] == 255


def test_an_image_of_the_right_size_is_not_touched():
    """Nor is any, without a size."""
    assert Resizing((40, 20))(HALVES) is HALVES
    assert Resizing()(HALVES) is HALVES


@pytest.mark.parametrize(
    "options, size, fit",
    [
        ({}, (32, 32), "crop"),
        ({"pad": True}, (32, 32), "pad"),
        ({"pad": False}, (32, 32), "stretch"),
        ({"image_size": 16}, (16, 16), "crop"),
        ({"image_size": (16, 24)}, (16, 24), "crop"),
    ],
)
def test_the_converter_says_how(options, size, fit):
    """The bundled preset cuts to the middle, unless told otherwise."""
    made = resizing_for(VisionLanguageTask(tiny()), **options)
    assert (made.size, made.fit, made.method) == (size, fit, "bilinear")
    assert made.pixel_range == (0.0, 255.0)


def test_without_a_task():
    """Images stay as they are, or are stretched to a size."""
    assert resizing_for() == Resizing()
    assert resizing_for(image_size=8) == Resizing((8, 8))
