"""CIDEr-D, the agreement of captions with those that people write.

The published implementation comes with a package of a hundred megabytes that
needs Java and a compiler.
"""

import collections

import numpy as np

MAX_ORDER = 4
LENGTH_SIGMA = 6.0


def cider(responses, references):
    """Scores captions by CIDEr-D.

    Compares captions by their n-grams of one to four words, weighted by their
    rarity among the images: one in the references of every image counts
    nothing. So the score needs a corpus. **With a single image it is 0** for
    any caption, and scores of two corpora do not compare. Words are separated
    by white space and compared in lower case. For one order of n-grams, with
    tf-idf vectors `g`, lengths `l` in bigrams, a response `c` and its
    references `r_1, ..., r_m`:

    `10 / m * sum_j exp(-(l(c) - l(r_j))^2 / (2 * 6^2))
    * min(g(c), g(r_j)) . g(r_j) / (|g(c)| |g(r_j)|)`

    and the score is the mean over the four orders.

    Args:
        responses: list of strings, one for each image.
        references: list of lists of strings: for each image, one right
            caption or more.

    Returns:
        A float64 array, `(num_images,)`, in `[0, 10]`. The corpus score is
        its mean.

    Raises:
        ValueError: If there are not as many responses as references.

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
    """Returns a function from an n-gram to its inverse document frequency."""
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
    """Computes the mean clipped cosine, times the penalty on length."""
    cosines = [_cosine(a, b, rarity) for a, b in zip(response, reference)]
    # Lengths are counted in bigrams, as the published implementation does.
    difference = response[1].total() - reference[1].total()
    penalty = np.exp(-(difference**2) / (2 * LENGTH_SIGMA**2))
    return penalty * np.mean(cosines)


def _cosine(response, reference, rarity):
    """Computes the cosine of two tf-idf vectors, the first one clipped."""
    ours = {ngram: n * rarity(ngram) for ngram, n in response.items()}
    theirs = {ngram: n * rarity(ngram) for ngram, n in reference.items()}
    common = ours.keys() & theirs.keys()
    product = sum(min(ours[n], theirs[n]) * theirs[n] for n in common)
    norm = _norm(ours) * _norm(theirs)
    return product / norm if norm else 0.0


def _norm(vector):
    return np.sqrt(sum(weight**2 for weight in vector.values()))
