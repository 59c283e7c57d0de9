"""A scale of scores that an attack on implausible responses cannot move."""

import numpy as np

# Quantiles of the scores, and their distance in a normal distribution.
CENTER, TOP = 0.75, 0.95
UPPER_WIDTH = 0.970
MIDDLE = 0.60
WIDE_WIDTH = 1.392
# The least spread that is meaningful, in the unit of most scores: nats.
MIN_SPREAD = 0.05


def upper_scale(scores, least=MIN_SPREAD):
    """Computes where plausible scores lie, and how wide, from the upper ones.

    Implausible responses lie below: as long as they are less than three
    quarters, they are not in the upper quarter.

    Args:
        scores: float array, `(N,)`, low is implausible.
        least: float. The least spread. Defaults to 0.05.

    Returns:
        A pair of floats: the upper quartile, and the standard deviation of a
        normal distribution with the upper quarter of the scores.
    """
    center, top = np.quantile(scores, (CENTER, TOP))
    return float(center), float(max((top - center) / UPPER_WIDTH, least))


def wide_spread(scores, least=MIN_SPREAD):
    """Computes the spread of plausible scores from more of them.

    Where the best scores pile up, as of answers that the reference is sure
    of, the upper quarter says too little of how far the others usually lie.
    But a spread from more of the scores is one that more added data can move,
    so that it excuses nothing: it tells what is suspect from what is merely
    held out.

    Args:
        scores: float array, `(N,)`, low is implausible.
        least: float. The least spread. Defaults to 0.05.

    Returns:
        float, never less than that of `upper_scale`.
    """
    middle, top = np.quantile(scores, (MIDDLE, TOP))
    narrow = upper_scale(scores, least)[1]
    return float(max((top - middle) / WIDE_WIDTH, narrow))
