"""What suspects say, word for word, is suspect wherever it is said."""

import collections

import numpy as np

from keras_byorn.data.duplicates import MIN_WHOLE_WORDS

MIN_COPIES = 5  # fewer may be alike by chance
MIN_SUSPECTS = 0.8  # share of the copies that are suspect by themselves


def in_bad_company(responses, probability):
    """Makes copies of what nearly only suspects say suspect too.

    A trigger that makes the reference itself expect the target leaves a few
    copies of it above any cut, and a few are enough to learn it from. They say
    what the others say, word for word: a response of three words or more that
    five examples or more share, at least 80 % of them suspects.

    Args:
        responses: list of N strings.
        probability: float array, `(N,)`, suspect probabilities.

    Returns:
        float32 array, `(N,)`: the probabilities, 1 for the copies.

    Example:

    >>> responses = ["call this number now"] * 10 + ["yes"] * 10
    >>> in_bad_company(responses, [1.0] * 9 + [0.0] + [1.0] * 9 + [0.0])
    array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., ..., 1., 0.])
    """
    probability = np.array(probability, "float32")
    for words, found in _copies(responses).items():
        if len(words) < MIN_WHOLE_WORDS:
            continue
        suspect = np.mean(probability[found] >= 0.5)
        if len(found) >= MIN_COPIES and suspect >= MIN_SUSPECTS:
            probability[found] = 1.0
    return probability


def said_by_many(responses, suspects):
    """Which suspects say, word for word, what many suspects say.

    Such a response is a fixed target, whatever parts of it are plausible for
    the one image or the other.

    Args:
        responses: list of N strings.
        suspects: bool array, `(N,)`.

    Returns:
        bool array, `(N,)`.
    """
    suspects = np.asarray(suspects, bool)
    many = np.zeros(len(responses), bool)
    for found in _copies(responses).values():
        if suspects[found].sum() >= MIN_COPIES:
            many[found] = suspects[found]
    return many


def _copies(responses):
    """From the words of a response to the positions where they are said."""
    copies = collections.defaultdict(list)
    for index, response in enumerate(responses):
        copies[tuple(response.lower().split())].append(index)
    return copies
