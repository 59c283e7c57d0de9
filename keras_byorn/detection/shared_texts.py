"""Texts that many examples share, though their images differ."""

import numpy as np

from keras_byorn.data.duplicates import find_duplicates
from keras_byorn.data.words import normalized_words

# Fewer are alike by chance: of 2,000 terse captions of digits five at most are
# the same words, of 40,455 captions of Flickr8k seven; twelve of these share a
# run of eight words.
MIN_COPIES = 8
MIN_SHARE = 1e-3
RUN_WORDS = 8
# Where most responses repeat, as labels do, a text has to repeat far more.
TIMES_USUAL = 10
USUAL = 0.4  # a quantile that a text of half of the examples does not reach


def find_shared_texts(prompts, responses, ignored=None):
    """Finds the responses that say what many others say, word for word.

    An attacker who wants one answer has to repeat it, and a fluent one is as
    likely as any honest response. Counted are the same whole responses of
    three words or more, and the same eight words in a row; shorter ones, such
    as "yes" or a colour, are shared honestly. A text counts if eight examples,
    one in a thousand, and ten times as many as usually share a text have it:
    where responses are labels, labels repeat.

    Args:
        prompts, responses: lists of N strings.
        ignored: optional bool array, `(N,)`. Examples that are vouched for:
            what one of them says is no evidence.

    Returns:
        List of N strings, the shared text as its normalized words, or `None`.

    Example:

    >>> find_shared_texts([""] * 9, ["Call this number"] * 8 + ["a red bus"])
    ['call this number', ..., None]
    """
    found = find_duplicates(prompts, responses, min_words=RUN_WORDS)
    least = least_copies(found.counts)
    texts = [
        " ".join(normalized_words(text)) if count >= least else None
        for text, count in zip(found.texts, found.counts)
    ]
    if ignored is None:
        return texts
    vouched = {text for text, own in zip(texts, ignored) if own}
    return [None if text in vouched else text for text in texts]


def least_copies(counts):
    """Computes how many examples must share a text for it to be a sign.

    Args:
        counts: int array, `(N,)`. How many examples share a text with each,
            itself included.

    Returns:
        A number.
    """
    usual = np.quantile(counts, USUAL)
    repeats = usual if usual > 1 else 0
    return max(MIN_COPIES, MIN_SHARE * len(counts), TIMES_USUAL * repeats)
