"""Detectors to compare with: by chance, and by the truth.

Without these two nobody can tell detection from regularisation.
"""

import keras
import numpy as np

from keras_byorn.audit.row import is_suspect
from keras_byorn.detection.decisions import Flags
from keras_byorn.detection.decisions.threshold import ALL
from keras_byorn.detection.detector import Detector


@keras.saving.register_keras_serializable(package="keras_byorn")
class RandomFlags(Detector):
    """Flags as many examples as its decision would, but any of them.

    No student judges again what it flagged.

    Args:
        **kwargs: as for `Detector`.

    Example:

    >>> RandomFlags(decision=FlagFraction(0.4), seed=0)
    """

    allows_review = False

    def __init__(self, **kwargs):
        super().__init__(**{"flag_copies": False, **kwargs})

    def flag(self, plausibility, scores):
        flags = super().flag(plausibility, scores)
        order = np.random.default_rng(self.seed).permutation(len(plausibility))
        probability = flags.suspect_probability[order]
        return flags._replace(
            suspect_probability=probability,
            reasons=["by chance" if is_suspect(p) else "" for p in probability],
            reason=f"as many as {self.decision!r} flags, by chance",
            # Those of the decision are of other examples.
            verdicts=None,
            evidence=None,
            shares=None,
        )


@keras.saving.register_keras_serializable(package="keras_byorn")
class OracleFlags(Detector):
    """Flags the poisoned examples, which no defence can know.

    No student judges again what it flagged.

    Args:
        poisoned_ids: set of strings. The ground truth.
        **kwargs: as for `Detector`.

    Raises:
        ValueError: in detection, if an id is not among the examples'.

    Example:

    >>> examples, poisoned_ids = attacks.poison_examples(examples, attack, 0.1)
    >>> BYORnCallback(detector=OracleFlags(poisoned_ids))
    """

    allows_review = False

    def __init__(self, poisoned_ids, **kwargs):
        super().__init__(**{"flag_copies": False, **kwargs})
        self.poisoned_ids = set(poisoned_ids)

    def flag(self, plausibility, scores):
        unknown = self.poisoned_ids - set(scores.example_ids)
        if unknown:
            raise ValueError(
                "`poisoned_ids` must be ids of the examples in training. Pass "
                "those that `poison_examples` returned with these examples. "
                f"Received: {len(unknown)} unknown ids, such as "
                f"{sorted(unknown)[:3]}"
            )
        poisoned = [i in self.poisoned_ids for i in scores.example_ids]
        count = len(poisoned)
        return Flags(
            suspect_probability=np.array(poisoned, "float32"),
            groups=np.full(count, ALL, object),
            cuts=np.full(count, np.nan, "float32"),
            reasons=["poisoned" if p else "" for p in poisoned],
            reason="the truth",
        )

    def get_config(self):
        return {
            **super().get_config(),
            "poisoned_ids": sorted(self.poisoned_ids),
        }
