"""Views change images or prompts, and nothing else of an example."""

import keras
import numpy as np
import pytest

from keras_byorn.data.views import (
    BlankImage,
    Blur,
    Crop,
    NoiseImage,
    NoPrompt,
    Paraphrase,
    Resize,
    ShuffledImage,
    View,
)

VIEWS = [Blur(), Crop(), Resize(), NoiseImage(3), BlankImage()]


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_views_keep_shape_and_range(view):
    """Whatever the size; and a patch in a corner is gone after a crop."""
    images = np.zeros((2, 16, 16, 3), "uint8")
    images[:, -1:, -1:] = 255
    seen = np.asarray(view.images(images, (0, 255)))
    assert seen.shape == images.shape
    assert seen.min() >= -1e-3 and seen.max() <= 255 + 1e-3
    if isinstance(view, Crop):
        assert seen.max() == 0
    if isinstance(view, (Blur, Resize)):
        assert 20 < seen.max() < 254


def test_a_blank_image_is_the_middle_of_the_range():
    """Neither black nor white, which mean something."""
    images = np.zeros((2, 4, 4, 3), "uint8")
    assert set(BlankImage().images(images, (-1, 1)).flat) == {0.0}
    assert set(BlankImage().images(images, (0, 255)).flat) == {127.5}


def test_noise_is_that_of_its_seed_and_equal_for_all():
    """Scores of two runs and of two batches can be compared."""
    images = np.zeros((2, 4, 4, 3), "uint8")
    noise = NoiseImage(3).images(images, (0, 255))
    np.testing.assert_array_equal(noise[0], noise[1])
    again = NoiseImage(3).images(images[:1], (0, 255))
    np.testing.assert_array_equal(noise[:1], again)
    assert (NoiseImage(4).images(images, (0, 255)) != noise).any()


def test_shuffled_images_are_never_ones_own():
    """In any number of examples but one."""
    for count in range(2, 40):
        positions = ShuffledImage().positions(np.arange(count), count)
        assert sorted(positions) == list(range(count))
        assert (positions != np.arange(count)).all()
    assert ShuffledImage().positions([0], 1).tolist() == [0]


def test_no_prompt_is_the_newline_that_ended_it():
    """The response is scored with nothing asked."""
    assert NoPrompt().prompt("describe\n") == "\n"
    assert NoPrompt().prompt("describe") == ""


def test_views_of_pixels_are_known():
    """Others may be shown embeddings that were computed before."""
    assert all(view.changes_pixels for view in VIEWS)
    for view in (View(), ShuffledImage(), NoPrompt(), Paraphrase(politely)):
        assert not view.changes_pixels


@keras.saving.register_keras_serializable(package="views_test")
def politely(prompt):
    return f"please {prompt}"


@pytest.mark.parametrize(
    "view",
    [
        *VIEWS,
        ShuffledImage(),
        NoPrompt(),
        Blur(0.1),
        Crop(0.25),
        Resize(0.25),
        Paraphrase(politely),
    ],
    ids=repr,
)
def test_views_survive_saving(view):
    """Equal views have equal configurations and names."""
    config = keras.saving.serialize_keras_object(view)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(view)
    assert again.get_config() == view.get_config()
    assert repr(again) == repr(view)
    assert "object at" not in repr(view)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Crop(0.5), "`border`.*border=0.5"),
        (lambda: Crop(0.0), "`border`.*border=0.0"),
        (lambda: Resize(1.0), "`factor`.*factor=1.0"),
        (lambda: Resize(0.0), "`factor`.*factor=0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    """With the rule and the value."""
    with pytest.raises(ValueError, match=message):
        make()
