"""A fixed share of the examples, as in the paper."""

import keras
import numpy as np

from keras_byorn.detection.decisions.threshold import Threshold, between


@keras.saving.register_keras_serializable(package="keras_byorn")
class FlagFraction(Threshold):
    """Flags a fixed share of the examples, the least plausible ones.

    Scores that are tied at the cut are flagged together, so that the share
    can be a little larger.

    Args:
        flag_fraction: float in [0, 1). Defaults to 0.4, the paper's.
        softness, cut: see `Threshold`.

    Raises:
        ValueError: if `flag_fraction` is out of its range.

    Example:

    >>> FlagFraction(0.25).fit([-9.0, -1.0, -2.0, -1.5]).cut
    -5.5

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), which
          flags everything above the 60th percentile of the surprise.
    """

    def __init__(self, flag_fraction=0.4, softness=0.0, cut=None):
        super().__init__(softness, cut)
        if not 0.0 <= flag_fraction < 1.0:
            raise ValueError(
                "`flag_fraction` is the share of examples to call implausible "
                "and must be in [0, 1). To flag by a fitted mixture instead, "
                "pass `decision=MixtureThreshold()`. "
                f"Received: flag_fraction={flag_fraction}"
            )
        self.flag_fraction = float(flag_fraction)

    def find_cut(self, plausibility, seed):
        num_suspect = int(round(self.flag_fraction * plausibility.size))
        reason = f"the least plausible {self.flag_fraction:.0%}"
        if num_suspect == 0:
            return -np.inf, reason
        ordered = np.sort(plausibility)
        # A rounding, or ties up to the best score: something has to stay.
        last = ordered[min(num_suspect, ordered.size - 1) - 1]
        above = ordered[ordered > last]
        if not above.size:
            return float(last), f"{reason}, as far as scores differ"
        return between(last, above[0]), reason

    def get_config(self):
        return {"flag_fraction": self.flag_fraction, **super().get_config()}
