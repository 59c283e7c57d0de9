"""A progress bar that leaves the counts of the defence to a line of words."""

import keras

from keras_byorn.detection.reports import share
from keras_byorn.training.defence_counts import counts_cluster

# From the names in the logs to the words of the line, in their order.
COUNTS = {
    "num_held_out": "held out",
    "num_on_probation": "on probation",
    "num_masked": "masked",
    "num_regenerated": "regenerated",
    "num_restored": "restored",
    "num_alarms": "alarms",
}
# What is held out and not on probation: the line tells it by these two.
OTHERS = ("num_suspect",)


class DefenceProgress(keras.callbacks.ProgbarLogger):
    """Shows the progress bar of Keras, and the counts of the defence below it.

    The bar of Keras shows every number with four decimals. `History` has all
    counts as integers, zeros too, and those of each cluster.

    Args:
        num_examples: int.
    """

    def __init__(self, num_examples):
        super().__init__()
        self._num_examples = num_examples

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        others = {
            name: value
            for name, value in logs.items()
            if name not in (*COUNTS, *OTHERS) and not counts_cluster(name)
        }
        super().on_epoch_end(epoch, others)
        if self.verbose and "num_held_out" in logs:
            print(counts_line(logs, self._num_examples))


def counts_line(logs, num_examples):
    """Puts the counts of an epoch into words, zeros left out.

    Args:
        logs: dict, the logs of an epoch with a `BYORnCallback`.
        num_examples: int.

    Returns:
        A string.

    Example:

    >>> counts_line({"num_held_out": 61, "num_regenerated": 60}, 600)
    'Targets: 61 of 600 (10.2 %) held out, 60 regenerated'
    """
    first, *others = COUNTS
    parts = [f"{share(logs[first], num_examples)} {COUNTS[first]}"]
    parts += [
        f"{logs[name]:,} {COUNTS[name]}" for name in others if logs.get(name)
    ]
    return f"Targets: {', '.join(parts)}"
