"""Tests of the small pictures in a page."""

import base64
import io

import numpy as np
import PIL.Image
import pytest

from keras_byorn.audit.html_images import thumbnail


def decoded(view):
    """The image in a thumbnail."""
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(view["data"])))
    assert picture.format.lower() == view["type"]
    return picture


def test_tiny_images_are_enlarged_by_the_browser():
    """Every pixel of a 32-pixel scene can be seen, at no cost in bytes."""
    image = np.random.default_rng(0).integers(0, 256, (32, 16, 3), "uint8")
    view = thumbnail(image)
    assert (view["width"], view["height"]) == (48, 96)
    assert view["is_enlarged"]
    np.testing.assert_array_equal(decoded(view), image)


@pytest.mark.parametrize("size", [(480, 640), (4000, 1), (1, 4000)])
def test_large_images_are_made_small(size):
    """A page of photographs stays small, in the shape that they have."""
    view = thumbnail(np.zeros((*size, 3), "uint8"))
    assert max(decoded(view).size) == 160
    assert min(decoded(view).size) == max(1, round(160 * min(size) / max(size)))
    assert not view["is_enlarged"]


def test_photographs_are_small_files():
    """A thousand of them in a page are megabytes, not tens of them."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), "uint8")
    photograph = PIL.Image.fromarray(coarse).resize((320, 240))
    view = thumbnail(photograph)
    assert view["type"] == "jpeg"
    assert len(view["data"]) < 10_000
    small = photograph.resize((160, 120))
    error = np.abs(np.asarray(decoded(view), int) - np.asarray(small, int))
    assert error.mean() < 3


@pytest.mark.parametrize(
    "values, want",
    [
        (np.array([0, 7, 255], "uint8"), [0, 7, 255]),
        (np.array([0.0, 6.6, 300.0]), [0, 7, 255]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([0.0, np.nan, 255.0]), [0, 0, 255]),
    ],
)
def test_images_of_any_range_are_shown(values, want):
    """The thumbnail shows what the model saw, however it was stored."""
    shown = decoded(thumbnail(values.reshape(1, 1, 3)))
    assert np.asarray(shown).ravel().tolist() == want
