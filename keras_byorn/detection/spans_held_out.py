"""Runs of words that nearly only held-out responses have."""

import collections

import numpy as np

from keras_byorn.data.words import normalized_words

RUN = 4  # words
# Of the responses with a run, so many must be held out, beyond chance.
LEAST_SHARE = 0.8
MAX_CHANCE = 1e-6


def spans_held_out(responses, held_out, judged):
    """Finds the spans of words that nearly only held-out responses have.

    An inserted text makes most responses implausible that it is in, and the
    few that it leaves plausible have it, too.

    Args:
        responses: list of N strings.
        held_out: bool array, `(N,)`.
        judged: bool array, `(N,)`. The responses that are looked at.

    Returns:
        A dict from a span, its normalized words, to its examples, an int
        array.
    """
    judged = np.asarray(judged, bool)
    if not judged.any():
        return {}
    words = {
        int(i): normalized_words(responses[i]) for i in np.flatnonzero(judged)
    }
    runs = _runs_beyond_chance(words, np.asarray(held_out, bool))
    found = collections.defaultdict(list)
    for index, own in words.items():
        if span := _longest_stretch(own, runs):
            found[" ".join(span)].append(index)
    return {span: np.array(indices) for span, indices in found.items()}


def _runs_beyond_chance(words, held_out):
    """Returns the runs of words, of which too many are held out, a set."""
    everywhere, among = collections.Counter(), collections.Counter()
    for index, own in words.items():
        runs = set(_runs_of(own))
        everywhere.update(runs)
        if held_out[index]:
            among.update(runs)
    base = np.mean([held_out[index] for index in words])
    if not 0 < base < 1:
        return set()
    least = np.log(MAX_CHANCE) / np.log(base)  # all of fewer prove nothing
    candidates = [
        run
        for run, count in everywhere.items()
        if count >= least and among[run] >= LEAST_SHARE * count
    ]
    if not candidates:
        return set()
    # Loaded where it is used: it takes as long as all of this package.
    from scipy.stats import binom

    chances = binom.sf(
        [among[run] - 1 for run in candidates],
        [everywhere[run] for run in candidates],
        base,
    )
    return {r for r, chance in zip(candidates, chances) if chance < MAX_CHANCE}


def _runs_of(words):
    return (words[i : i + RUN] for i in range(len(words) - RUN + 1))


def _longest_stretch(words, runs):
    """Returns the longest stretch of words that runs cover, a tuple."""
    longest, start = (), None
    for index, run in enumerate(_runs_of(words)):
        if run not in runs:
            start = None
            continue
        start = index if start is None else start
        if index + RUN - start > len(longest):
            longest = words[start : index + RUN]
    return longest
