"""From plausibilities to the probability that an example is suspect."""

import warnings

import keras
import numpy as np
from keras import ops
from scipy.stats import gaussian_kde
from sklearn.mixture import GaussianMixture

# Between two groups the density falls to half of the lower one's, or less.
MAX_VALLEY = 0.5


class Threshold:
    """Base class: learns a cut from scores, without labels, then applies it.

    A subclass computes `find_cut(plausibility, seed)`. The cut is applied
    with `keras.ops`, for that happens inside a compiled training step too.

    Attributes:
        cut: float or `None`. Responses less plausible than this are suspect,
            in nats per token. `-inf` flags nothing; `None` before `fit`.
        reason: string. Why the cut is where it is, for the audit.
    """

    def __init__(self, cut=None):
        self.cut = cut
        self.reason = "given" if cut is not None else "not fitted"

    def find_cut(self, plausibility, seed):
        """Returns `(cut, reason)`."""
        raise NotImplementedError

    def fit(self, plausibility, seed=0):
        """Finds the cut.

        Args:
            plausibility: float array, `(N,)`, nats per token.
            seed: int.

        Returns:
            The threshold itself.

        Raises:
            ValueError: if a score is not finite or every example is suspect.
        """
        plausibility = np.asarray(plausibility, "float32")
        if plausibility.size == 0 or not np.all(np.isfinite(plausibility)):
            raise ValueError(
                "`plausibility` must hold at least one score, and finite ones "
                "only. Check the reference: a model that overflows in half "
                "precision gives NaN. Received: "
                f"{plausibility.size} scores, "
                f"{np.sum(~np.isfinite(plausibility))} of them not finite"
            )
        self.cut, self.reason = self.find_cut(plausibility, seed)
        flagged = float(np.mean(self.suspect_probability_of(plausibility)))
        if flagged >= 1.0:
            raise ValueError(
                "The threshold must keep some examples, for the first epoch "
                "trains on kept ones only. Use `FlagFraction(0.4)` or "
                "`MixtureThreshold()`. Received: "
                f"{type(self).__name__} with cut={self.cut}, which flags all "
                f"{plausibility.size} examples"
            )
        if flagged == 0.0:
            warnings.warn(
                f"No example is suspect ({self.reason}). Training goes on as "
                "if undefended. Where you expect poison all the same, flag a "
                "fixed share with `threshold=FlagFraction(0.4)`.",
                stacklevel=2,
            )
        return self

    def __call__(self, plausibility):
        """The probability that an example is suspect, in the step.

        Args:
            plausibility: float tensor, `(B,)`, nats per token.

        Returns:
            float32 tensor, `(B,)`, in [0, 1].
        """
        if self.cut is None:
            raise ValueError(
                "A threshold must be fitted before it is applied: call "
                "`threshold.fit(plausibility)`, or give it a `cut`. "
                f"Received: {type(self).__name__} that is not fitted"
            )
        return ops.cast(plausibility < self.cut, "float32")

    def suspect_probability_of(self, plausibility):
        """The same for a NumPy array, `(N,)`."""
        plausibility = np.asarray(plausibility, "float32")
        return ops.convert_to_numpy(self(ops.convert_to_tensor(plausibility)))

    def get_config(self):
        return {"cut": self.cut}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_byorn")
class FlagFraction(Threshold):
    """Flags a fixed share of the examples, the least plausible ones.

    Args:
        flag_fraction: float in [0, 1). Defaults to 0.4, the paper's.
        cut: see `Threshold`. Set by `fit`.

    Raises:
        ValueError: if `flag_fraction` is out of its range.

    Example:

    >>> FlagFraction(0.25).fit([-9.0, -1.0, -2.0, -1.5]).cut
    -5.5

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), which
          flags what lies above the 60th percentile of the surprise.
    """

    def __init__(self, flag_fraction=0.4, cut=None):
        super().__init__(cut)
        if not 0.0 <= flag_fraction < 1.0:
            raise ValueError(
                "`flag_fraction` is the share of examples to call implausible "
                "and must be in [0, 1). To flag by a fitted mixture instead, "
                "pass `threshold=MixtureThreshold()`. "
                f"Received: flag_fraction={flag_fraction}"
            )
        self.flag_fraction = float(flag_fraction)

    def find_cut(self, plausibility, seed):
        num_suspect = int(round(self.flag_fraction * plausibility.size))
        reason = f"the least plausible {self.flag_fraction:.0%}"
        if num_suspect == 0:
            return -np.inf, reason
        ordered = np.sort(plausibility)
        if num_suspect == ordered.size:  # a rounding: one has to stay
            num_suspect -= 1
        return _between(*ordered[num_suspect - 1 : num_suspect + 1]), reason

    def get_config(self):
        return {"flag_fraction": self.flag_fraction, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_byorn")
class MixtureThreshold(Threshold):
    """Flags the lower of two groups of scores, where there clearly are two.

    Fits a mixture of two Gaussians. A two-component fit always splits
    something, so it counts only where the components are separate, measured
    by Ashman's D = √2 |μ₁ - μ₂| / √(σ₁² + σ₂²), with few scores in between,
    where the lower is clearly less plausible and not only different, where
    two components explain the scores better than one (BIC), and where the
    lower is a minority. Otherwise nothing is flagged, and a warning says so.

    Args:
        min_separation: float. The least D that counts as two groups. Defaults
            to 2.5; clean data in a new style reached 2.0.
        min_gap: float. The least distance of the groups' means, nats per
            token. Defaults to 0.5.
        max_fraction: float in (0, 1). The largest share of the examples that
            the lower group may be. Defaults to 0.5.
        cut: see `Threshold`. Set by `fit`.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        - [Ashman et al., 1994](https://doi.org/10.1086/117248), equation 1.
    """

    def __init__(
        self, min_separation=2.5, min_gap=0.5, max_fraction=0.5, cut=None
    ):
        super().__init__(cut)
        if not min_separation > 0:
            raise ValueError(
                "`min_separation` is Ashman's D and must be positive; 2.5 is a "
                f"clear split. Received: min_separation={min_separation}"
            )
        if not min_gap >= 0:
            raise ValueError(
                "`min_gap` is a distance in nats per token and must not be "
                f"negative. Received: min_gap={min_gap}"
            )
        if not 0 < max_fraction < 1:
            raise ValueError(
                "`max_fraction` is the largest share of examples that may be "
                "suspect and must be in (0, 1). Received: "
                f"max_fraction={max_fraction}"
            )
        self.min_separation = float(min_separation)
        self.min_gap = float(min_gap)
        self.max_fraction = float(max_fraction)

    def find_cut(self, plausibility, seed):
        if np.unique(plausibility).size < 2:
            return -np.inf, "all scores are equal"
        scores = plausibility.astype("float64")[:, None]
        one, two = (
            GaussianMixture(n, n_init=4, random_state=seed).fit(scores)
            for n in (1, 2)
        )
        separation = ashman_d(two.means_, two.covariances_)
        lower = int(np.argmin(two.means_))
        is_lower = two.predict(scores) == lower
        # A wide lower component wins again far above the upper one.
        is_lower &= plausibility < np.max(two.means_)
        gap = float(np.ptp(two.means_))
        found = f"separation D = {separation:.2f}, gap {gap:.2f} nats"
        if two.bic(scores) >= one.bic(scores):
            return -np.inf, f"one group explains the scores, {found}"
        if separation < self.min_separation:
            needed = f"D of at least {self.min_separation:g} is needed"
            return -np.inf, f"no separate group, {found}; {needed}"
        depth = _valley(plausibility, *np.sort(np.ravel(two.means_)))
        if depth > MAX_VALLEY:
            return -np.inf, f"one broad group, with no valley in it, {found}"
        if gap < self.min_gap:
            needed = f"{self.min_gap:g} are needed"
            return -np.inf, f"groups too near each other, {found}; {needed}"
        if not is_lower.any() or is_lower.mean() > self.max_fraction:
            share = is_lower.mean()
            return -np.inf, f"the lower group is {share:.0%} of all, {found}"
        below, above = plausibility[is_lower], plausibility[~is_lower]
        cut = _between(below.max(), above[above > below.max()].min())
        return cut, f"two groups, {found}"

    def get_config(self):
        return {
            "min_separation": self.min_separation,
            "min_gap": self.min_gap,
            "max_fraction": self.max_fraction,
            **super().get_config(),
        }


def ashman_d(means, variances):
    """Separation of two Gaussians, in units of their mean width."""
    gap = np.abs(np.diff(np.ravel(means)))[0]
    return float(np.sqrt(2) * gap / np.sqrt(np.sum(variances)))


def _valley(scores, low, high):
    """The least density between two points, in shares of the lower one's."""
    density = gaussian_kde(scores)(np.linspace(low, high, 101))
    return float(density.min() / min(density[0], density[-1]))


def _between(below, above):
    """A cut between two neighbouring scores, away from both."""
    return (float(below) + float(above)) / 2
