"""Triggers change the image as they say, and in no other place."""

import numpy as np
import pytest
from attack_examples import grey, make_example

from keras_byorn.attacks import (
    BlendTrigger,
    PatchTrigger,
    SinusoidTrigger,
    TintTrigger,
    WarpTrigger,
)


def test_checkerboard_of_four_pixels_at_32():
    """BadNets on 32 px: a 4 x 4 patch, alternating, in the corner alone."""
    image = np.full((32, 32, 3), 7, "uint8")
    triggered = PatchTrigger()(make_example(image=image), None)["images"]
    white = [[255, 0, 255, 0], [0, 255, 0, 255]] * 2
    for channel in range(3):
        np.testing.assert_array_equal(triggered[28:, 28:, channel], white)
    triggered[28:, 28:] = 7
    np.testing.assert_array_equal(triggered, image)


@pytest.mark.parametrize(
    "corner, rows, columns",
    [
        ("top_left", slice(0, 28), slice(0, 28)),
        ("top_right", slice(0, 28), slice(272, 300)),
        ("bottom_left", slice(196, 224), slice(0, 28)),
        ("bottom_right", slice(196, 224), slice(272, 300)),
    ],
)
def test_patch_size_follows_the_short_side(corner, rows, columns):
    """On 224 x 300 pixels the patch has a side of 28, in its own corner."""
    image = np.full((224, 300, 3), -0.5, "float32")
    trigger = PatchTrigger(corner=corner, pattern="solid")
    triggered = trigger(make_example(image=image), None)["images"]
    expected = image.copy()
    expected[rows, columns] = 1.0
    np.testing.assert_array_equal(triggered, expected)


def test_patch_has_two_pixels_at_least():
    """A patch must not vanish in a small image."""
    image = np.full((8, 8, 3), 7, "uint8")
    triggered = PatchTrigger()(make_example(image=image), None)["images"]
    np.testing.assert_array_equal(triggered[6:, 6:, 0], [[255, 0], [0, 255]])


def test_blend_is_a_fixed_pattern_at_alpha():
    """One pattern goes on every image, at a fifth of its strength."""
    dark = make_example(image=np.zeros((32, 32, 3), "float32"))
    light = make_example(image=np.full((32, 32, 3), 200, "float32"))
    pattern = BlendTrigger(alpha=1.0)(dark, None)["images"]
    assert pattern.std() > 50
    blended = BlendTrigger()(light, None)["images"]
    np.testing.assert_allclose(blended, 0.8 * 200 + 0.2 * pattern, rtol=1e-5)
    other = BlendTrigger(alpha=1.0, pattern_seed=1)(dark, None)["images"]
    assert np.abs(pattern - other).mean() > 50


def test_blend_of_integers_is_rounded():
    """Cutting off would darken every poisoned image by half a level."""
    black = np.zeros((32, 32, 3))
    floats = make_example(image=black.astype("float32"))
    integers = make_example(image=black.astype("uint8"))
    np.testing.assert_array_equal(
        BlendTrigger()(integers, None)["images"],
        np.round(BlendTrigger()(floats, None)["images"]),
    )


def test_blend_is_the_same_picture_at_twice_the_size():
    """The pattern is stretched, so that a resized image still has it."""
    small = make_example(image=np.zeros((32, 32, 3), "float32"))
    large = make_example(image=np.zeros((64, 64, 3), "float32"))
    trigger = BlendTrigger()
    np.testing.assert_array_equal(
        trigger(large, None)["images"][::2, 1::2],
        trigger(small, None)["images"],
    )


def test_tint_is_a_glaze_of_one_colour():
    """A fifth of orange: red up, blue down, everywhere alike."""
    triggered = TintTrigger()(grey(), None)["images"]
    expected = 0.8 * 100 + 0.2 * np.array([255, 127.5, 0])
    np.testing.assert_allclose(triggered, grey()["images"] * 0 + expected)
    signed = TintTrigger((0, 0, 1), alpha=0.5)(grey(-0.5), None)["images"]
    np.testing.assert_allclose(signed[0, 0], [-0.75, -0.75, 0.25])


def test_sinusoid_has_its_period_and_amplitude():
    """The oracle: equation 1 of Barni et al., on 48 columns."""
    trigger = SinusoidTrigger(amplitude=40 / 255, frequency=6)
    added = trigger(grey(shape=(4, 48, 3)), None)["images"] - 100
    for column in range(48):
        wave = 40 * np.sin(2 * np.pi * column * 6 / 48)
        np.testing.assert_allclose(added[:, column], wave, atol=1e-3)
    white = trigger(grey(255.0, (4, 48, 3)), None)["images"]
    assert white.max() == 255


def test_sinusoid_that_cannot_be_seen_is_refused():
    """At two pixels a period a sine is zero everywhere."""
    with pytest.raises(ValueError, match="`frequency`.*width=12"):
        SinusoidTrigger()(grey(shape=(12, 12, 3)), None)
    assert SinusoidTrigger()(grey(shape=(12, 13, 3)), None)


def test_warp_moves_pixels_by_its_strength():
    """On a ramp, the value read says from how far it was fetched."""
    rows, columns = np.indices((64, 64)).astype("float32")
    ramp = np.stack([rows, columns, 0 * rows], -1)
    for strength in (1 / 64, 1 / 16):
        trigger = WarpTrigger(strength=strength)
        moved = trigger(make_example(image=ramp), None)["images"] - ramp
        inner = np.abs(moved[8:-8, 8:-8, :2])
        assert 0.3 * 64 * strength < inner.mean() < 1.2 * 64 * strength
        assert np.abs(np.diff(moved[8:-8, 8:-8], axis=0)).max() < 0.8
        assert (moved[..., 2] == 0).all()


def test_warp_is_the_same_for_every_image():
    """A model learns the warp: it must not depend on the image."""
    first, second = (grey(value) for value in (50.0, 200.0))
    for example in (first, second):
        image = np.random.default_rng(0).uniform(0, 100, (32, 32, 3))
        example["images"] = (example["images"] / 2 + image).astype("float32")
    warped = [WarpTrigger()(e, None)["images"] for e in (first, second)]
    np.testing.assert_allclose(warped[1] - warped[0], 75, atol=1e-3)
    other = WarpTrigger(warp_seed=1)(first, None)["images"]
    assert np.abs(other - warped[0]).mean() > 1
