"""A cut with a guarantee, for those who have some trusted examples."""

import keras
import numpy as np

from keras_byorn.detection.decisions.threshold import Threshold


@keras.saving.register_keras_serializable(package="keras_byorn")
class ConformalThreshold(Threshold):
    """Flags responses less plausible than trusted examples almost ever are.

    The cut is the k-th lowest score of the trusted examples, with
    k = floor(alpha (n + 1)). A clean example that is exchangeable with them is
    then flagged with a probability of at most alpha, whatever the scores'
    distribution and however few they are. There is no such bound on the
    poisoned examples that are missed. The trusted examples are among those in
    training, and are kept.

    Args:
        trusted_ids: sequence of strings. The `example_id`s of examples that
            are known to be clean, drawn at random from the clean ones.
        alpha: float in (0, 1). The false-flag rate that is bounded. Defaults
            to 0.02.
        softness, cut: see `Threshold`.

    Raises:
        ValueError: if `alpha` is out of its range, if there are fewer than
            1 / alpha - 1 trusted examples, or if they are not in training.

    Example:

    >>> threshold = ConformalThreshold(["a", "b", "c"], alpha=0.25)
    >>> threshold.fit([-9, -1, -2, -3], example_ids=["x", "a", "b", "c"]).cut
    -3.0

    Reference:
        - [Vovk et al., 2005](https://doi.org/10.1007/b106715), chapter 2;
          outlier detection in
          [Bates et al., 2023](https://arxiv.org/abs/2104.08279), section 2.
    """

    def __init__(self, trusted_ids, alpha=0.02, softness=0.0, cut=None):
        super().__init__(softness, cut)
        if not 0 < alpha < 1:
            raise ValueError(
                "`alpha` is the share of clean examples that may be flagged "
                f"and must be in (0, 1). Received: alpha={alpha}"
            )
        self.trusted_ids = list(trusted_ids)
        self.alpha = float(alpha)
        self._check_count()

    def decide(self, plausibility, scores, seed=0):
        flags = super().decide(plausibility, scores, seed)
        trusted = self._find(scores.example_ids)
        return flags._replace(
            suspect_probability=np.where(
                trusted, np.float32(0), flags.suspect_probability
            ),
            reasons=[
                "" if is_trusted else reason
                for is_trusted, reason in zip(trusted, flags.reasons)
            ],
            trusted=trusted,
        )

    def _rank(self, num_trusted):
        return int(np.floor(self.alpha * (num_trusted + 1)))

    def _check_count(self):
        count = len(set(self.trusted_ids))
        if self._rank(count) < 1:
            raise ValueError(
                "`trusted_ids` must have at least 1 / alpha - 1 examples, "
                "or nothing could ever be flagged. Trust more, or raise "
                f"`alpha`. Received: {count} trusted examples and "
                f"alpha={self.alpha}, which needs "
                f"{int(np.ceil(1 / self.alpha - 1))}"
            )

    def _fit(self, plausibility, example_ids, seed):
        trusted = np.sort(plausibility[self._find(example_ids)])
        self.cut = float(trusted[self._rank(trusted.size) - 1])
        self.reason = (
            f"at most {self.alpha:.1%} false flags, by {trusted.size} trusted "
            "examples"
        )

    def _find(self, example_ids):
        known = set(self.trusted_ids)
        missing = known - set(example_ids or ())
        if missing:
            raise ValueError(
                "`trusted_ids` must be ids of the examples in training, for "
                "they are scored with them. Add the trusted examples to the "
                f"others. Received: {len(missing)} unknown ids, such as "
                f"{sorted(missing)[:3]}"
            )
        return np.array([example_id in known for example_id in example_ids])

    def get_config(self):
        return {
            "trusted_ids": self.trusted_ids,
            "alpha": self.alpha,
            **super().get_config(),
        }

    def __repr__(self):
        count = len(self.trusted_ids)
        return f"ConformalThreshold({count} trusted ids, alpha={self.alpha})"
