"""CIDEr-D: how much a caption says what people say of the image.

Written here because the published implementation comes with a package that
needs Java and a compiler, and a hundred megabytes, for two hundred lines.
"""

import collections

import numpy as np

MAX_ORDER = 4
LENGTH_SIGMA = 6.0


def cider(responses, references):
    """Scores captions by CIDEr-D.

    Captions are compared by their n-grams of one to four words, weighted by
    how rare each is among the images: one that is found in the references of
    every image counts nothing. So the score needs a corpus. **With a single
    image it is 0**, whatever the caption, and scores of two corpora do not
    compare. Words are what stands between white space, in lower case.

    Args:
        responses: list of strings, one for each image.
        references: list of lists of strings: for each image, one right
            caption or more.

    Returns:
        A float64 array, `(num_images,)`, in `[0, 10]`. The corpus score is
        its mean.

    Example:

    >>> cider(
    ...     ["a red three", "a blue seven"],
    ...     [["a red three"], ["a green seven"]],
    ... )

    Reference:
        - [Vedantam et al., 2015](https://arxiv.org/abs/1411.5726)
    """
    reference_counts = [[_ngrams(r) for r in group] for group in references]
    rarity = _rarity(reference_counts)
    scores = [
        np.mean([_similarity(_ngrams(response), r, rarity) for r in group])
        for response, group in zip(responses, reference_counts, strict=True)
    ]
    return 10.0 * np.array(scores)


def _ngrams(text):
    """Counts the n-grams, one `Counter` for each order."""
    words = text.lower().split()
    return [
        collections.Counter(zip(*(words[i:] for i in range(order))))
        for order in range(1, MAX_ORDER + 1)
    ]


def _rarity(reference_counts):
    """A function from an n-gram to the log of images per image that has it."""
    frequency = collections.Counter(
        ngram
        for group in reference_counts
        for ngram in {
            n for orders in group for counts in orders for n in counts
        }
    )
    log_num_images = np.log(len(reference_counts))
    return lambda ngram: log_num_images - np.log(max(1, frequency[ngram]))


def _similarity(response, reference, rarity):
    """Mean clipped cosine over the orders, times the penalty on length."""
    cosines = [_cosine(a, b, rarity) for a, b in zip(response, reference)]
    # Lengths are counted in bigrams, as the published implementation does.
    difference = response[1].total() - reference[1].total()
    penalty = np.exp(-(difference**2) / (2 * LENGTH_SIGMA**2))
    return penalty * np.mean(cosines)


def _cosine(response, reference, rarity):
    """Cosine of two tf-idf vectors, the first clipped to the second."""
    ours = {ngram: n * rarity(ngram) for ngram, n in response.items()}
    theirs = {ngram: n * rarity(ngram) for ngram, n in reference.items()}
    common = ours.keys() & theirs.keys()
    product = sum(min(ours[n], theirs[n]) * theirs[n] for n in common)
    norm = _norm(ours) * _norm(theirs)
    return product / norm if norm else 0.0


def _norm(vector):
    return np.sqrt(sum(weight**2 for weight in vector.values()))
