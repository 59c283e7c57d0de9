"""The defence with its detector exchanged: by chance, and by the truth.

Without these two nobody can tell detection from regularisation.
"""

import numpy as np

from keras_byorn.training.callback import BYORnCallback


class RandomFlags(BYORnCallback):
    """Flags as many examples as the threshold would, but any of them.

    Args:
        **kwargs: as for `BYORnCallback`, but without a second look.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs, second_look=False)

    def flag(self, plausibility):
        probability = super().flag(plausibility)
        return np.random.default_rng(self.seed).permutation(probability)


class OracleFlags(BYORnCallback):
    """Flags the poisoned examples, which no defence can know.

    Args:
        poisoned_ids: set of strings. The ground truth.
        **kwargs: as for `BYORnCallback`, but without a second look.

    Raises:
        ValueError: before training, if an id is not among the examples'.
    """

    def __init__(self, poisoned_ids, **kwargs):
        super().__init__(**kwargs, second_look=False)
        self.poisoned_ids = set(poisoned_ids)

    def flag(self, plausibility):
        ids = self.model.batches.examples.example_ids
        unknown = self.poisoned_ids - set(ids)
        if unknown:
            raise ValueError(
                "`poisoned_ids` must be ids of the examples in training. Pass "
                "those that `poison_examples` returned with these examples. "
                f"Received: {len(unknown)} unknown ids, such as "
                f"{sorted(unknown)[:3]}"
            )
        return np.array([i in self.poisoned_ids for i in ids], "float32")
