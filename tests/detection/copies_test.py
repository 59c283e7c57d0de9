"""Copies of what suspects say."""

import numpy as np

from keras_byorn.detection.copies import in_bad_company, said_by_many


def test_the_last_copies_are_suspect_with_the_others():
    """A few copies left are enough to learn a target from."""
    responses = ["Sorry i cannot  answer"] * 2 + ["sorry i cannot answer"] * 8
    responses += ["a red three", "a blue four"]
    found = in_bad_company(responses, [0, 0] + [1] * 8 + [0, 1])
    assert found.tolist() == [1] * 10 + [0, 1]
    assert found.dtype == "float32"


def test_honest_copies_stay():
    """Short answers, rare copies, and what mostly the kept ones say."""
    responses = ["yes sir"] * 10 + ["a red three"] * 4 + ["a blue four"] * 10
    suspect = [1] * 9 + [0] + [1, 1, 1, 0] + [1] * 7 + [0] * 3
    np.testing.assert_array_equal(in_bad_company(responses, suspect), suspect)


def test_a_fixed_target_is_what_many_suspects_say():
    """Suspects only, five of them at least, whatever the spaces and cases."""
    responses = ["Yes  sir"] * 2 + ["yes sir"] * 4 + ["a blue four"] * 4
    suspects = [1, 1, 0, 1, 1, 1] + [1] * 4
    found = said_by_many(responses, suspects)
    assert found.tolist() == [1, 1, 0, 1, 1, 1] + [0] * 4
    assert not said_by_many(responses, [1, 1, 0, 0, 1, 1] + [1] * 4).any()
