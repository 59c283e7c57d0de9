"""Honest mistakes: other captions, wrong words."""

import pytest
from table import label_noise

from keras_byorn.data.digit_scenes_drawing import COLOURS, DIGITS
from keras_byorn.data.examples import Examples


@pytest.fixture
def captions():
    colours, digits = list(COLOURS), list(DIGITS)
    return Examples(
        [
            {
                "example_id": str(index),
                "images": None,
                "prompts": "describe the image\n",
                "responses": f"{colours[index % 6]} {digits[index % 10]} "
                f"above {colours[index // 6]} {digits[index // 10]}",
            }
            for index in range(30)
        ]
    )


def changes(captions, kind, seed=0):
    new, ids = label_noise.with_label_noise(captions, kind, 0.2, seed)
    assert len(ids) == 6
    pairs = [
        (old["responses"].split(), example["responses"].split())
        for old, example in zip(captions, new)
    ]
    differ = [old != said for old, said in pairs]
    assert [i in ids for i in captions.example_ids] == differ
    return [pair for pair in pairs if pair[0] != pair[1]]


def test_words_are_of_the_kind(captions):
    """One colour or one digit is another one."""
    for old, said in changes(captions, "words"):
        ((right, wrong),) = [(a, b) for a, b in zip(old, said) if a != b]
        assert {right, wrong} <= set(COLOURS) or {right, wrong} <= set(DIGITS)


def test_captions_are_those_of_others(captions):
    """An honest person mixed two pictures up."""
    known = [example["responses"].split() for example in captions]
    assert all(said in known for _, said in changes(captions, "captions"))


def test_seed_decides(captions):
    """Equal seeds make equal mistakes."""
    first, second, other = (
        changes(captions, "captions", seed) for seed in (1, 1, 2)
    )
    assert first == second != other
