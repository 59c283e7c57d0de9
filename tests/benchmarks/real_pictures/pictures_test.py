"""Pictures and captions, as they are read."""

import numpy as np
import pytest
from real_pictures import pictures as module
from real_pictures.pictures import fitting, normalized, read_pictures

from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma


def test_captions_lose_case_and_full_stop():
    assert normalized("A Dog\truns .") == "a dog runs"
    assert normalized("A dog runs") == "a dog runs"
    assert normalized(" . ") == ""


def test_parts_are_read_apart(folder):
    """Captions stay with their picture, whose pixels are resized."""
    test = read_pictures(folder, ["test"], image_size=8)
    assert test.names == [f"test_{index}.png" for index in range(6)]
    assert test.images.shape == (6, 8, 8, 3)
    assert test.images.dtype == "uint8"
    for image, captions in zip(test.images, test.captions):
        channel = int(np.argmax(image[0, 0]))
        assert len(captions) == 2
        for text in captions:
            assert text.split()[1] == ("red", "green", "blue")[channel]
    assert len(read_pictures(folder, ["test", "dev"])) == 10
    assert len(read_pictures(folder, ["test", "dev"], limit=3)) == 3


def test_unknown_part_is_refused(folder):
    with pytest.raises(ValueError, match="parts=\\['validation'\\]"):
        read_pictures(folder, ["validation"])


def test_examples_of_pictures(folder):
    """All pairs, or one caption each, drawn by a seed."""
    test = read_pictures(folder, ["test"], image_size=8)
    pairs = test.pairs()
    assert len(pairs) == 12
    assert pairs.example_ids[:2] == ["test_0.png#0", "test_0.png#1"]
    assert pairs[1]["responses"] == test.captions[0][1]
    drawn = [test.drawn(seed).example_ids for seed in (0, 0, 1)]
    assert len(drawn[0]) == 6
    assert drawn[0] == drawn[1] != drawn[2]


def test_other_pictures(folder):
    """Each caption gets the next picture, the last one the first."""
    test = read_pictures(folder, ["test"], image_size=8)
    others = test.others()
    assert others.captions == test.captions
    np.testing.assert_array_equal(others.images[-1], test.images[0])
    np.testing.assert_array_equal(others.images[:-1], test.images[1:])


def test_long_captions_are_dropped():
    """And a picture without any that fits."""
    vlm = tiny_pali_gemma(sequence_length=40)
    images = np.zeros((2, 8, 8, 3), "uint8")
    images[1] = 255
    texts = [["red " * 40], ["blue", "red " * 40]]
    pictures = module.Pictures(["a", "b"], images, texts)
    kept = fitting(pictures, vlm)
    assert kept.names == ["b"]
    assert kept.captions == [["blue"]]
    assert kept.images.min() == 255
    assert len(fitting(pictures, vlm, spare=39)) == 0
