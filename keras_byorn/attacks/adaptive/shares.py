"""Random shares of a data set."""

import numpy as np


def draw_ids(examples, rate, seed, exclude):
    """Draws ids of a share of the examples, a list in random order.

    Args:
        examples: an `Examples`.
        rate: float in `[0, 1]`. Share of all examples.
        seed: int.
        exclude: collection of ids not to draw.

    Raises:
        ValueError: If `rate` is not in `[0, 1]`, or too few are left.
    """
    if not 0 <= rate <= 1:
        raise ValueError(
            "`rate` is a share of all examples and must be in [0, 1]. For 10 "
            f"percent, pass 0.1. Received: rate={rate}"
        )
    exclude = set(exclude)
    wanted = round(rate * len(examples))
    order = np.random.default_rng(seed).permutation(len(examples))
    free = [examples.example_ids[int(i)] for i in order]
    free = [example_id for example_id in free if example_id not in exclude]
    if wanted > len(free):
        raise ValueError(
            "`exclude` must leave enough examples to change. Lower `rate`, or "
            f"exclude fewer. Received: rate={rate}, which is {wanted} of "
            f"{len(examples)}, of which {len(free)} are not excluded"
        )
    return free[:wanted]
