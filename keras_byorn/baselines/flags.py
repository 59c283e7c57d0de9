"""The defence with its detector exchanged: by chance, and by the truth.

Without these two nobody can tell detection from regularisation.
"""

import numpy as np

from keras_byorn.training.callback import BYORnCallback


class RandomFlags(BYORnCallback):
    """Flags as many examples as the threshold would, but any of them.

    Args:
        **kwargs: as for `BYORnCallback`.
    """

    def flag(self, plausibility):
        probability = super().flag(plausibility)
        return np.random.default_rng(self.seed).permutation(probability)


class OracleFlags(BYORnCallback):
    """Flags the poisoned examples, which no defence can know.

    Args:
        poisoned_ids: set of strings. The ground truth.
        **kwargs: as for `BYORnCallback`.
    """

    def __init__(self, poisoned_ids, **kwargs):
        super().__init__(**kwargs)
        self.poisoned_ids = set(poisoned_ids)

    def flag(self, plausibility):
        ids = self.model.batches.examples.example_ids
        return np.array([i in self.poisoned_ids for i in ids], "float32")
