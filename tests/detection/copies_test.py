"""Copies of responses of suspects."""

import numpy as np

from keras_byorn.detection.copies import flag_copies, shared_by_suspects


def test_the_last_copies_are_suspect_with_the_others():
    """A few copies left are enough to learn a target from."""
    responses = ["Sorry i cannot  answer"] * 2 + ["sorry i cannot answer"] * 8
    responses += ["a red three", "a blue four"]
    found = flag_copies(responses, [0, 0] + [1] * 8 + [0, 1])
    assert found.tolist() == [1] * 10 + [0, 1]
    assert found.dtype == "float32"


def test_honest_copies_stay():
    """Short answers, rare copies, and those that mostly the kept ones say."""
    responses = ["yes sir"] * 10 + ["a red three"] * 4 + ["a blue four"] * 10
    suspect = [1] * 9 + [0] + [1, 1, 1, 0] + [1] * 7 + [0] * 3
    np.testing.assert_array_equal(flag_copies(responses, suspect), suspect)


def test_a_fixed_target_is_shared_by_many_suspects():
    """Suspects only, five of them at least, in any spacing and case."""
    responses = ["Yes  sir"] * 2 + ["yes sir"] * 4 + ["a blue four"] * 4
    suspects = [1, 1, 0, 1, 1, 1] + [1] * 4
    found = shared_by_suspects(responses, suspects)
    assert found.tolist() == [1, 1, 0, 1, 1, 1] + [0] * 4
    assert not shared_by_suspects(responses, [1, 1, 0, 0, 1, 1] + [1] * 4).any()


def test_punctuation_and_hidden_characters_hide_no_copy():
    """Ten copies that no reader can tell apart are ten copies."""
    copies = [
        "call this number now",
        "Call this number, now",
        "call this number now.",
        "call this number\u200b now",
        "ca\u00adll this number now",
        "ｃall this number now",
        "call this number now \u202e",
        "call this num\ufe0fber now",
        "call  this number now!",
        "CALL THIS NUMBER NOW",
    ]
    found = flag_copies([*copies, "a red three"], [1] * 9 + [0, 0])
    assert found.tolist() == [1] * 10 + [0]
    assert shared_by_suspects(copies, [1] * 5 + [0] * 5).sum() == 5


def test_responses_without_words_are_no_copies():
    """Emoji have no normalized words, and would all be alike."""
    responses = ["🙂", "🚀", "!!", "…", "👍", "🎉"]
    suspects = [1, 1, 1, 1, 1, 0]
    assert flag_copies(responses, suspects).tolist() == suspects
    assert not shared_by_suspects(responses, suspects).any()


def test_copies_read_the_same_though_they_are_written_otherwise():
    """An attacker may vary a target without changing how it reads."""
    variants = [
        "Call this number now",
        "call this number now!",
        "CALL, THIS NUMBER: NOW",
        "call  this\tnumber now",
        "ｃａｌｌ this number now",
        "call this num\u200bber now",
        "call this num\u00adber now",
    ]
    responses = ["call this number now"] * 40 + variants
    suspects = [1] * 40 + [0] * len(variants)
    assert flag_copies(responses, suspects).all()


def test_probabilities_are_not_written_to():
    """And those of others stay as soft as they were."""
    probability = np.array([0.9] * 8 + [0.1, 0.3], "float32")
    before = probability.copy()
    responses = ["call this number now"] * 9 + ["a red three"]
    found = flag_copies(responses, probability)
    np.testing.assert_array_equal(probability, before)
    np.testing.assert_allclose(found, [1.0] * 9 + [0.3])
