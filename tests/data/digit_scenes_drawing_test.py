"""Handwriting and the pictures made of it."""

import numpy as np
import pytest

from keras_byorn.data import digit_scenes_drawing as drawing
from keras_byorn.data.digit_scenes_drawing import COLOURS, DIGITS


def test_no_handwriting_is_shared():
    """A model that knows the test's pixels by heart would prove nothing."""
    splits = [
        {
            sample.tobytes()
            for value in range(10)
            for sample in drawing.handwriting(split)[value]
        }
        for split in ("train", "test")
    ]
    assert not splits[0] & splits[1]
    assert len(splits[0]) > 1400 and len(splits[1]) > 350


def test_handwriting_is_filed_under_its_digit():
    """Samples of one digit resemble their own mean more than the others'."""
    train, test = (drawing.handwriting(s) for s in ("train", "test"))
    means = np.stack([train[value].mean(axis=0) for value in range(10)])
    right = [
        np.argmin(np.square(means - sample).sum(axis=(1, 2))) == value
        for value in range(10)
        for sample in test[value]
    ]
    assert np.mean(right) > 0.85


def test_the_image_shows_what_the_words_say():
    """Colours and places in the picture are those of the scene."""
    samples = drawing.handwriting("train")
    values = np.array(list(COLOURS.values()), "float64")
    right = []
    for seed in range(150):
        scene = drawing.draw_scene(np.random.default_rng(seed), samples)
        axis = 1 if scene.relation == "left of" else 0
        halves = np.split(scene.image.astype("float64"), 2, axis=axis)
        for half, (colour, _) in zip(halves, (scene.first, scene.second)):
            pixels = half.reshape(-1, 3)
            brightest = pixels[np.argsort(pixels.sum(axis=1))[-12:]].mean(0)
            nearest = np.argmin(np.square(values - brightest).sum(axis=1))
            right.append(list(COLOURS)[nearest] == colour)
    assert np.mean(right) > 0.95


@pytest.mark.parametrize("num_digits", [4, 8, 16])
def test_the_grid_shows_what_its_words_say(num_digits):
    """Each cell has its colour and handwriting; the others stay dark."""
    samples = drawing.handwriting("train")
    values = np.array(list(COLOURS.values()), "float64")
    right = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        grid = drawing.draw_grid(rng, samples, num_digits)
        assert len(grid.digits) == num_digits
        cells = grid.image.reshape(4, 8, 4, 8, 3).swapaxes(1, 2)
        cells = cells.reshape(16, 8, 8, 3).astype("float64")
        for cell, (colour, digit) in zip(cells, grid.digits):
            pixels = cell.reshape(-1, 3)
            brightest = pixels[np.argsort(pixels.sum(axis=1))[-8:]].mean(0)
            nearest = np.argmin(np.square(values - brightest).sum(axis=1))
            right.append(list(COLOURS)[nearest] == colour)
            ink = cell.max(axis=-1).ravel()
            likeness = {
                value: max(
                    np.corrcoef(ink, sample.ravel())[0, 1]
                    for sample in samples[value][:200]
                )
                for value in (DIGITS.index(digit),)
            }
            assert likeness[DIGITS.index(digit)] > 0.9
        if num_digits < 16:
            assert cells[num_digits:].max() < 120
    assert np.mean(right) > 0.95
