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
    """Short answers, rare copies, and what mostly the kept ones say."""
    responses = ["yes sir"] * 10 + ["a red three"] * 4 + ["a blue four"] * 10
    suspect = [1] * 9 + [0] + [1, 1, 1, 0] + [1] * 7 + [0] * 3
    np.testing.assert_array_equal(flag_copies(responses, suspect), suspect)


def test_a_fixed_target_is_what_many_suspects_say():
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
