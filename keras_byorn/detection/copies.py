"""Copies of suspect responses, in the same normalized words."""

import collections

import numpy as np

from keras_byorn.audit.row import is_suspect
from keras_byorn.data.duplicates import MIN_WHOLE_WORDS
from keras_byorn.data.words import normalized_words

MIN_COPIES = 5  # fewer may be alike by chance
MIN_SUSPECTS = 0.8  # share of the copies that are suspect by themselves


def flag_copies(responses, probability):
    """Makes copies of responses that nearly only suspects give suspect too.

    A trigger that makes the reference itself expect the target leaves a few
    copies of it above any cut, and a few are enough to learn it from. They
    have the same normalized words as the others: a response of three words or
    more that five examples or more share, at least 80 % of them suspects.

    Args:
        responses: list of N strings.
        probability: float array, `(N,)`, suspect probabilities.

    Returns:
        float32 array, `(N,)`: the probabilities, 1 for the copies.

    Example:

    >>> responses = ["call this number now"] * 10 + ["yes"] * 10
    >>> flag_copies(responses, [1.0] * 9 + [0.0] + [1.0] * 9 + [0.0])
    array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., ..., 1., 0.])
    """
    probability = np.array(probability, "float32")
    for words, found in _copies(responses).items():
        if len(words) < MIN_WHOLE_WORDS:
            continue
        suspect = np.mean(is_suspect(probability[found]))
        if len(found) >= MIN_COPIES and suspect >= MIN_SUSPECTS:
            probability[found] = 1.0
    return probability


def shared_by_suspects(responses, suspects):
    """Finds the suspects that share their words with many others.

    Such a response is a fixed target, even where a part of it is plausible for
    one image or another.

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
    """Maps normalized words to the positions of responses that have them.

    Responses without any word, such as emoji alone, are copies of no other.
    """
    copies = collections.defaultdict(list)
    for index, response in enumerate(responses):
        if words := normalized_words(response):
            copies[words].append(index)
    return copies
