"""Lengths that batches are padded to, so that short texts cost less."""

import numpy as np

# Lengths are multiples of this.
LENGTH_MULTIPLE = 8
MAX_BUCKETS = 4
# A further length is worth its compilation if it saves this share of the
# tokens, and if an epoch has this many batches of each length.
MIN_SAVED = 0.05
MIN_BATCHES = 8
# Responses that a model writes may be so much longer than all originals.
ROOM = 1.5


class LengthBuckets:
    """Assigns each row the shortest of a few lengths that holds it.

    Args:
        lengths: list of K ints that do not decrease. Text tokens that a step
            sees.
        widths: list of K ints that do not decrease. The most response tokens
            in a row of each length.
    """

    def __init__(self, lengths, widths):
        self.lengths = list(lengths)
        self.widths = list(widths)

    @classmethod
    def fit(cls, num_tokens, num_response, longest, num_prefix, batch_size):
        """Chooses lengths for a data set.

        Args:
            num_tokens: int array, `(N,)`, text tokens that a step sees of each
                row.
            num_response: int array, `(N,)`, response tokens among them.
            longest: int. The largest length.
            num_prefix: int. Positions that each row has beside its text.
            batch_size: int.

        Returns:
            A `LengthBuckets`.
        """
        lengths = _choose(
            np.asarray(num_tokens),
            longest,
            num_prefix,
            min_rows=MIN_BATCHES * batch_size,
        )
        own = np.searchsorted(lengths, num_tokens)
        widths = [
            int(np.max(num_response[own <= k])) for k in range(len(lengths))
        ]
        return cls(lengths, widths)

    def __len__(self):
        return len(self.lengths)

    def with_room(self, most):
        """Adds room for the responses that a model may write.

        Widens the longest bucket by half. Longer responses are rare: they get
        a bucket of their own, and no program is compiled for it before it is
        needed.

        Args:
            most: int. The most response tokens that any row can have.

        Returns:
            A `LengthBuckets`.
        """
        *widths, longest = self.widths
        widths.append(min(most, int(ROOM * longest)))
        if widths[-1] == most:
            return LengthBuckets(self.lengths, widths)
        lengths = [*self.lengths, self.lengths[-1]]
        return LengthBuckets(lengths, [*widths, most])

    def of(self, num_tokens, num_response):
        """Finds the first bucket that holds each row.

        Args:
            num_tokens: int array, `(N,)`. Text tokens of each row.
            num_response: int array, `(N,)`. Response tokens among them.

        Returns:
            int array, `(N,)`.

        Raises:
            ValueError: if a row fits in none.
        """
        buckets = np.maximum(
            np.searchsorted(self.lengths, num_tokens),
            np.searchsorted(self.widths, num_response),
        )
        if np.any(buckets >= len(self)):
            row = int(np.argmax(buckets))
            raise ValueError(
                "A response must have no more tokens than the longest bucket, "
                f"{self.widths[-1]} with its end, and fit with its prompt in "
                f"{self.lengths[-1]}. Leave it out. Received: a response of "
                f"{num_response[row]} tokens in {num_tokens[row]}"
            )
        return buckets


def batches_of(buckets, batch_size):
    """Batches rows of like length, with at most one batch that is not full.

    Rows that are left over of one length join the next longer one.

    Args:
        buckets: int array, `(N,)`, see `LengthBuckets.of`.
        batch_size: int.

    Returns:
        A list of pairs `(rows, bucket)`, short ones first: positions in
        `buckets`, in their order, and the bucket that holds them all.
    """
    batches, left = [], np.zeros(0, int)
    present = np.unique(buckets)
    for bucket in present:
        rows = np.concatenate([left, np.flatnonzero(buckets == bucket)])
        last = bucket == present[-1]
        full = len(rows) if last else len(rows) // batch_size * batch_size
        rows, left = rows[:full], rows[full:]
        batches += [
            (rows[start : start + batch_size], int(bucket))
            for start in range(0, full, batch_size)
        ]
    return batches


def extremes_first(batches):
    """Moves one of the shortest and one of the longest batches to the front.

    On TensorFlow, Keras learns from the first two which axes may change.

    Args:
        batches: list of pairs `(rows, bucket)`.

    Returns:
        A list of these pairs.
    """
    if not batches:
        return batches
    buckets = [bucket for _, bucket in batches]
    first, second = int(np.argmin(buckets)), int(np.argmax(buckets))
    if first == second:  # all of one length
        return batches
    rest = [b for i, b in enumerate(batches) if i not in (first, second)]
    return [batches[first], batches[second], *rest]


def _choose(num_tokens, longest, num_prefix, min_rows):
    """Chooses as few increasing lengths as are worth it, `longest` the last."""
    candidates = [
        *range(LENGTH_MULTIPLE, longest, LENGTH_MULTIPLE),
        longest,
    ]
    # Number of rows that each length holds.
    own = np.searchsorted(candidates, num_tokens)
    below = np.cumsum(np.bincount(own, minlength=len(candidates)))
    plans = _cheapest(candidates, below, num_prefix, min_rows)
    cost, best = plans[0]
    for cheaper, lengths in plans[1:]:
        if cheaper > (1 - MIN_SAVED) * cost:
            break
        cost, best = cheaper, lengths
    return best


def _cheapest(candidates, below, num_prefix, min_rows):
    """Computes the cheapest choices of 1, 2, ... lengths.

    Args:
        candidates: increasing list of K ints.
        below: int array, `(K,)`. Number of rows that each candidate holds.
        num_prefix: int.
        min_rows: int. The fewest rows of one length.

    Returns:
        A list of pairs `(positions computed, lengths)`.
    """
    # plans[k]: the cheapest choice for all rows that candidate k holds, with
    # k as the longest length.
    plans = {
        k: (below[k] * (num_prefix + length), [length])
        for k, length in enumerate(candidates)
        if below[k] >= min_rows or length == candidates[-1]
    }
    results = []
    while plans and len(results) < MAX_BUCKETS:
        if len(candidates) - 1 not in plans:
            break
        results.append(plans[len(candidates) - 1])
        longer = {}
        for k, length in enumerate(candidates):
            options = [
                (
                    cost + (below[k] - below[j]) * (num_prefix + length),
                    [*lengths, length],
                )
                for j, (cost, lengths) in plans.items()
                if j < k and below[k] - below[j] >= min_rows
            ]
            if options:
                longer[k] = min(options)
        plans = longer
    return results
