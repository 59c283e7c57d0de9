"""Agreement of scores with the judgments of people, with intervals."""

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

RESAMPLES = 200
LEVEL = 0.95


def agreement(scores, ratings, fits, images, seed=0, resamples=RESAMPLES):
    """Compares scores of pairs with what people say of them.

    Args:
        scores: float array, `(N,)`. High where a caption fits its picture.
        ratings: float array, `(N, J)`, of J judges, or `(N, 1)`. High where
            it fits. Each is a row of its own for Kendall's tau, beside the
            score of its pair.
        fits: bool array, `(N,)`. Whether a caption fits, by most judges.
        images: sequence of N strings. The intervals are of a bootstrap of
            pictures, for the pairs of one picture are not independent.
        seed: int. Of the bootstrap.
        resamples: int. Its size.

    Returns:
        A dict of floats: `tau_c`, `tau_b`, `auroc`, each also with `_low` and
        `_high`, the bounds of the 95 % interval. `auroc` is the chance that
        one that fits has a higher score than one that does not.

    Raises:
        ValueError: if a score is no number, or if all captions fit or none.

    Example:

    >>> agreement([0.1, 0.9], [[1], [4]], [False, True], ["a", "b"])["auroc"]
    1.0

    Reference:
        - [Kendall, 1945](https://doi.org/10.1093/biomet/33.3.239), tau-b;
          [Stuart, 1953](https://doi.org/10.1093/biomet/40.1-2.105), tau-c.
    """
    scores = np.asarray(scores, "float64")
    ratings = np.asarray(ratings, "float64")
    fits = np.asarray(fits, bool)
    if not np.isfinite(scores).all():
        raise ValueError(
            "`scores` must be numbers. Leave out pairs without a score. "
            f"Received: {np.sum(~np.isfinite(scores))} that are not"
        )
    if fits.all() or not fits.any():
        raise ValueError(
            "`fits` must be True of some pairs and False of others, or there "
            f"is nothing to tell apart. Received: {fits.sum()} of {len(fits)}"
        )
    point = statistics(scores, ratings, fits)
    drawn = [
        statistics(scores[rows], ratings[rows], fits[rows])
        for rows in resampled(images, seed, resamples)
        if 0 < fits[rows].sum() < len(rows)
    ]
    return {**point, **intervals(point, drawn)}


def statistics(scores, ratings, fits):
    """Computes tau-c, tau-b and AUROC, a dict of floats."""
    beside = np.repeat(scores, ratings.shape[1])
    figures = {
        f"tau_{variant}": float(
            stats.kendalltau(beside, ratings.ravel(), variant=variant).statistic
        )
        for variant in "cb"
    }
    return {**figures, "auroc": float(roc_auc_score(fits, scores))}


def resampled(images, seed, resamples):
    """Yields the rows of pictures that are drawn with replacement.

    Args:
        images: sequence of N strings.
        seed, resamples: ints.

    Yields:
        int arrays: all rows of as many pictures as there are.
    """
    _, own = np.unique(images, return_inverse=True)
    order = np.argsort(own, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(own[order])) + 1)
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = rng.integers(len(rows_of), size=len(rows_of))
        yield np.concatenate([rows_of[index] for index in drawn])


def intervals(point, drawn):
    """Returns the bounds of each figure from those of the resamples."""
    tail = (1 - LEVEL) / 2
    bounds = {}
    for name in point:
        values = [figures[name] for figures in drawn]
        low, high = np.quantile(values, [tail, 1 - tail])
        bounds |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return bounds
