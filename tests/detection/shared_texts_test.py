"""Texts that many share count; labels and chance copies do not."""

import numpy as np

from keras_byorn.detection.shared_texts import find_shared_texts

TARGET = "sorry i can not help with that"


def varied(count):
    return [f"dog number {i} runs over field {7 * i}" for i in range(count)]


def found(responses, **kwargs):
    return find_shared_texts(["describe"] * len(responses), responses, **kwargs)


def test_a_text_of_many_is_found_in_all_its_spellings():
    """Case, marks and hidden characters make no other text."""
    copies = [TARGET.upper(), TARGET + "!", "sor\u200bry" + TARGET[5:]]
    texts = found(varied(200) + copies * 3)
    assert texts[:200] == [None] * 200
    assert texts[200:] == [TARGET] * 9


def test_so_many_may_be_alike_by_chance():
    """Seven of 200."""
    assert found(varied(200) + [TARGET] * 7) == [None] * 207


def test_half_of_all_examples_may_share_a_text():
    """The usual count is that of those that repeat least."""
    texts = found(varied(100) + [TARGET] * 100)
    assert texts[100:] == [TARGET] * 100


def test_short_answers_are_no_copies():
    """They are honestly shared."""
    answers = ["yes", "no", "two dogs", "dark blue"] * 50
    assert found(answers) == [None] * 200


def test_labels_repeat():
    """Where most responses do, one label is not ten times as common."""
    labels = ["a golden retriever dog", "a tabby cat indoors", "an old red bus"]
    counts = np.repeat(labels, [120, 60, 20])
    assert found(list(counts)) == [None] * 200


def test_a_run_of_eight_words_is_found_in_varied_responses():
    """A long slogan, however the rest reads."""
    slogan = "find more pictures like this on our new page"
    responses = varied(200) + [f"{text} {slogan}" for text in varied(10)]
    assert found(responses)[200:] == [slogan] * 10


def test_what_a_trusted_example_says_is_no_evidence():
    """For anybody who says it."""
    responses = varied(200) + [TARGET] * 20
    trusted = np.zeros(220, bool)
    trusted[-1] = True
    assert found(responses, ignored=trusted) == [None] * 220
