"""Two groups of scores, where there clearly are two."""

import keras
import numpy as np
from scipy.stats import gaussian_kde
from sklearn.mixture import GaussianMixture

from keras_byorn.plausibility.thresholds.threshold import Threshold, between

# Between two groups the density falls to half of the lower one's, or less.
MAX_VALLEY = 0.5

# Several attacks at once are several groups, found one after the other.
MAX_SPLITS = 3


@keras.saving.register_keras_serializable(package="keras_byorn")
class MixtureThreshold(Threshold):
    """Flags the lower of two groups of scores, where there clearly are two.

    Fits a mixture of two Gaussians. A two-component fit always splits
    something, so it counts only where the components are separate, measured
    by Ashman's D = √2 |μ₁ - μ₂| / √(σ₁² + σ₂²), with few scores in between,
    where the lower is clearly less plausible and not only different, where
    two components explain the scores better than one (BIC), and where the
    lower is not most of them. Otherwise nothing is flagged, and a warning says
    so. What is left above the cut is looked at again, for a second attack.

    Args:
        min_separation: float. The least D that counts as two groups. Defaults
            to 2.5; clean data in a new style reached 2.0.
        min_gap: float. The least distance of the groups' means, in the unit
            of the scores. Defaults to 0.5.
        max_fraction: float in (0, 1). The largest share of the examples that
            may be suspect. Defaults to 0.6.
        softness, cut: see `Threshold`.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        - [Ashman et al., 1994](https://doi.org/10.1086/117248), equation 1.
    """

    def __init__(
        self,
        min_separation=2.5,
        min_gap=0.5,
        max_fraction=0.6,
        softness=0.0,
        cut=None,
    ):
        super().__init__(softness, cut)
        if not min_separation > 0:
            raise ValueError(
                "`min_separation` is Ashman's D and must be positive; 2.5 is a "
                f"clear split. Received: min_separation={min_separation}"
            )
        if not min_gap >= 0:
            raise ValueError(
                "`min_gap` is a distance of scores and must not be "
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
        cut, reasons = -np.inf, []
        for _ in range(MAX_SPLITS):
            rest = plausibility[plausibility >= cut]
            higher, reason = self._split(rest, plausibility.size, seed)
            if higher is None:
                # Why the search ended tells nothing once something is found.
                return cut, "; and ".join(reasons) or reason
            cut = higher
            reasons.append(reason)
        return cut, "; and ".join(reasons)

    def _split(self, plausibility, num_all, seed):
        """The cut between two groups, or `None`, and why."""
        if np.unique(plausibility).size < 3:
            return None, "too few different scores"
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
        found = f"separation D = {separation:.2f}, gap {gap:.2f}"
        if two.bic(scores) >= one.bic(scores):
            return None, f"one group explains the scores, {found}"
        if separation < self.min_separation:
            needed = f"D of at least {self.min_separation:g} is needed"
            return None, f"no separate group, {found}; {needed}"
        depth = _valley(plausibility, *np.sort(np.ravel(two.means_)))
        if depth > MAX_VALLEY:
            return None, f"one broad group, with no valley in it, {found}"
        if gap < self.min_gap:
            needed = f"{self.min_gap:g} are needed"
            return None, f"groups too near each other, {found}; {needed}"
        if not is_lower.any() or is_lower.all():
            return None, f"no group of its own, {found}"
        below, above = plausibility[is_lower], plausibility[~is_lower]
        share = 1 - np.sum(above > below.max()) / num_all
        if share > self.max_fraction:
            return None, f"the lower group is {share:.0%} of all, {found}"
        cut = between(below.max(), above[above > below.max()].min())
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
