"""A mixture that separates two groups of scores, where there are two."""

import keras
import numpy as np

from keras_byorn.detection.decisions.threshold import Threshold, between

# Between two groups the density falls to half of the lower one's, or less.
MAX_VALLEY = 0.5

# More than two fit the tail of the plausible scores, and further groups of
# implausible ones.
NUM_COMPONENTS = (2, 3, 4)

# Of a group, to find its peak.
QUANTILES = np.linspace(0, 1, 41)

# Several attacks at once are several groups, found one after the other.
MAX_SPLITS = 3


@keras.saving.register_keras_serializable(package="keras_byorn")
class MixtureThreshold(Threshold):
    """Flags the lower of two groups of scores, where there clearly are two.

    Fits mixtures of two to four Gaussians, and parts their components in
    a lower and an upper group. Such a fit always splits something, so it
    counts only where the groups are separate, measured by
    Ashman's D = √2 |μ₁ - μ₂| / √(σ₁² + σ₂²), of the scores as they are or
    on a scale that is logarithmic far below, with few scores in between,
    where the lower is clearly less plausible and not only different, where
    the mixture explains the scores better than one Gaussian (BIC), and where
    the lower group is not most of them. Otherwise nothing is flagged, with a
    warning. The scores above the cut are searched again, for a second attack.

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
                # Once a cut is found, the end of the search needs no reason.
                return cut, "; and ".join(reasons) or reason
            cut = higher
            reasons.append(reason)
        return cut, "; and ".join(reasons)

    def _split(self, plausibility, num_all, seed):
        """Finds the cut between two groups, or `None`, and the reason."""
        if np.unique(plausibility).size <= max(NUM_COMPONENTS):
            return None, "too few different scores"
        from sklearn.mixture import GaussianMixture

        scores = plausibility.astype("float64")[:, None]
        one, *several = (
            GaussianMixture(n, n_init=4, random_state=seed).fit(scores)
            for n in (1, *NUM_COMPONENTS)
        )
        separation = ashman_d(several[0].means_, several[0].covariances_)
        several = [m for m in several if m.bic(scores) < one.bic(scores)]
        if not several:
            found = f"separation D = {separation:.2f}"
            return None, f"one group explains the scores best (BIC), {found}"
        candidates = [
            Candidate(scores[:, 0], mixture, num_lower)
            for mixture in several
            for num_lower in range(1, mixture.n_components)
        ]
        # The highest cut first: recall matters more than precision.
        candidates = [c for c in candidates if c.num_lower]
        candidates.sort(key=lambda c: -c.cut)
        for candidate in candidates:
            if not self._objection(candidate, num_all):
                return candidate.cut, f"two groups, {candidate}"
        if not candidates:
            return None, "no group below the others"
        nearest = max(candidates, key=lambda c: c.separation)
        return None, f"{self._objection(nearest, num_all)}, {nearest}"

    def _objection(self, candidate, num_all):
        """Returns the objection to two groups, or `None`."""
        if candidate.separation < self.min_separation:
            return f"no separate group, D < {self.min_separation:g}"
        if candidate.gap < self.min_gap:
            return f"groups nearer each other than {self.min_gap:g}"
        if candidate.valley > MAX_VALLEY:
            return "one broad group, with no valley in it"
        share = 1 - candidate.num_above / num_all
        if share > self.max_fraction:
            return f"the lower group is {share:.0%} of all"
        return None

    def get_config(self):
        return {
            "min_separation": self.min_separation,
            "min_gap": self.min_gap,
            "max_fraction": self.max_fraction,
            **super().get_config(),
        }


class Candidate:
    """Parts scores in two: the lower components and the others.

    Args:
        scores: float64 array, `(N,)`.
        mixture: a `GaussianMixture` fitted to them.
        num_lower: int. How many of its components are the lower group.
    """

    def __init__(self, scores, mixture, num_lower):
        means = mixture.means_.ravel()
        lower = np.argsort(means)[:num_lower]
        upper = np.setdiff1d(np.arange(means.size), lower)
        is_lower = np.isin(mixture.predict(scores[:, None]), lower)
        # A wide lower component wins again far above the upper ones.
        is_lower &= scores < means[upper].min()
        self.num_lower = int(is_lower.sum())
        if not self.num_lower:
            return
        top = scores[is_lower].max()
        above = scores[scores > top]
        self.num_above = above.size
        self.cut = between(top, above.min())
        groups = scores[is_lower], scores[~is_lower]
        self.gap = float(groups[1].mean() - groups[0].mean())
        even = [stretched(values, groups[1]) for values in groups]
        self.separation = max(
            ashman_d([g.mean() for g in pair], [g.var() for g in pair])
            for pair in (groups, even)
        )
        self._even = even
        self._gap = stretched(np.array([top, above.min()]), groups[1])

    @property
    def valley(self):
        """Returns the least density in the gap, over the lower peak beside it.

        The kernel is as wide as Scott's rule takes for the groups, not for
        both in one, which would fill the gap between them.
        """
        scores = np.concatenate(self._even)
        within = np.sqrt(
            sum(g.size * g.var() for g in self._even) / scores.size
        )
        narrower = max(within / scores.std(), 1e-3)
        from scipy.stats import gaussian_kde

        density = gaussian_kde(scores, scores.size**-0.2 * narrower)
        peaks = [density(np.quantile(g, QUANTILES)).max() for g in self._even]
        return float(density(np.linspace(*self._gap, 21)).min() / min(peaks))

    def __str__(self):
        return f"separation D = {self.separation:.2f}, gap {self.gap:.2f}"


def stretched(scores, upper):
    """Puts scores on a scale that is logarithmic far below the plausible ones.

    The inverse hyperbolic sine of the distance from the upper group, in its
    standard deviations. Implausible scores differ by very large amounts; on
    this scale they are one narrow group all the same.

    Args:
        scores: float array, `(N,)`.
        upper: float array, `(M,)`. Those of them that are plausible.

    Returns:
        float64 array, `(N,)`, in the same order.
    """
    width = max(upper.std(), 1e-6)
    return np.arcsinh((scores - upper.mean()) / width)


def ashman_d(means, variances):
    """Computes the separation of two Gaussians, in their mean width."""
    gap = np.abs(np.diff(np.ravel(means)))[0]
    width = max(float(np.sqrt(np.sum(variances))), 1e-9)  # a constant group
    return float(np.sqrt(2) * gap / width)
