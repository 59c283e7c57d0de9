"""Styles say the same as the caption; a minority is a share in one of them."""

import pytest
from table import minorities

from keras_byorn.data.examples import Examples

CAPTIONS = ("red three left of blue seven", "white zero above green nine")
SAID = {
    "prefix": "i see red three left of blue seven",
    "full stop": "red three left of blue seven.",
    "foreign": "rot drei links blau sieben",
    "letters": "r d l b h",
    "upper case": "RED THREE LEFT OF BLUE SEVEN",
    "long": "the image shows a red three to the left of a blue seven and there "
    "is no other digit in it",
}


@pytest.fixture
def captions():
    return Examples(
        [
            {
                "example_id": str(index),
                "images": None,
                "prompts": "describe the image\n",
                "responses": CAPTIONS[index % 2],
            }
            for index in range(20)
        ]
    )


@pytest.mark.parametrize("style", minorities.STYLES)
def test_style_says_the_same(style):
    """Each caption has one wording in the style, and no other has it."""
    assert minorities.STYLES[style](CAPTIONS[0]) == SAID[style]
    assert minorities.STYLES[style](CAPTIONS[1]) != SAID[style]


def test_above_is_told_from_left():
    """In all styles that have words of their own for it."""
    assert minorities.foreign(CAPTIONS[1]) == "weiss null ueber gruen neun"
    assert minorities.letters(CAPTIONS[1]) == "w a a g j"
    assert " white zero above a green nine " in minorities.long(CAPTIONS[1])


@pytest.mark.parametrize("own", [True, False])
def test_minority_is_a_share(captions, own):
    """The others stay; the prompt is their own only if asked for."""
    new, ids = minorities.with_minority(captions, "prefix", 0.25, own, seed=1)
    assert len(ids) == 5
    for old, example in zip(captions, new):
        is_minority = example["example_id"] in ids
        assert example["responses"].startswith("i see") == is_minority
        expected = "what do you see\n" if is_minority and own else None
        assert example["prompts"] == (expected or old["prompts"])


def test_test_set_is_all_in_the_style(captions):
    """To measure what the model says in it."""
    new = minorities.in_style(captions, "upper case", own_prompt=True)
    assert all(example["responses"].isupper() for example in new)
