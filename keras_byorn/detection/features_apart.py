"""Features whose examples stand apart from the others as a whole."""

import collections

import numpy as np

from keras_byorn.data.words import normalized_words

MIN_MEMBERS = 5  # the median of fewer moves with one of them
MIN_SHARE = 2.5e-3
# Robust standard deviations below the usual.
FAR, APART = 3.0, 6.0
# The quantile of the distances of all others that must be surpassed.
FURTHEST = 0.9
WORD = "prompt word"


def prompt_features(prompts):
    """Returns the features of each prompt: itself, and its words.

    Args:
        prompts: list of N strings.

    Returns:
        List of N frozensets of strings.
    """
    known = {}
    for prompt in prompts:
        if prompt not in known:
            words = normalized_words(prompt)
            whole = f'prompt "{" ".join(words)}"'
            single = (f'{WORD} "{word}"' for word in words)
            known[prompt] = frozenset({whole, *single})
    return [known[prompt] for prompt in prompts]


def features_apart(features, distances, among, least_share=0.5):
    """Finds the features whose examples are implausible as a whole.

    One poisoned example may be as plausible as an honest one, not so most of
    those with a trigger: their distances are far beyond the usual, and beyond
    those of nearly all other examples that do not stand apart themselves. To
    get a feature of their own past this, attackers would have to make most of
    its examples plausible.

    Args:
        features: list of N sets of strings.
        distances: float array, `(N,)`. Robust standard deviations by which a
            response is less plausible than the usual ones.
        among: bool array, `(N,)`. The examples that are judged.
        least_share: float. The share of a feature's examples that must be so
            far. Defaults to one half: the median.

    Returns:
        A dict from the feature to its examples, an int array, the largest
        first; each example is in the first of its features.
    """
    members = collections.defaultdict(list)
    for index in np.flatnonzero(among):
        for feature in features[index]:
            members[feature].append(int(index))
    least = max(MIN_MEMBERS, MIN_SHARE * len(features))
    # What most have is no feature of the few.
    most = np.sum(among) / 2
    apart = [
        (feature, indices)
        for feature, indices in members.items()
        if least <= len(indices) <= most
        and _is_apart(indices, distances, among, least_share)
    ]
    # A whole prompt before one of its words that as many have.
    apart.sort(key=lambda pair: (-len(pair[1]), WORD in pair[0], pair[0]))
    taken, found = set(), {}
    for feature, indices in apart:
        rest = [index for index in indices if index not in taken]
        if len(rest) >= MIN_MEMBERS:
            found[feature] = np.array(rest)
            taken.update(rest)
    return found


def _is_apart(indices, distances, among, least_share):
    reached = np.quantile(distances[indices], 1 - least_share)
    if reached <= FAR:
        return False
    others = among & (distances <= APART)
    others[indices] = False
    usual = np.quantile(distances[others], FURTHEST) if others.any() else 0.0
    return reached > usual
