"""The default: whatever is not clearly plausible is held out."""

import keras
import numpy as np

from keras_byorn.data.words import normalized_words
from keras_byorn.detection.decisions.decision import Flags
from keras_byorn.detection.decisions.threshold import (
    ALL,
    Threshold,
    between,
)
from keras_byorn.detection.features_apart import (
    features_apart,
    prompt_features,
)
from keras_byorn.detection.forms import is_opener, unusual_forms
from keras_byorn.detection.robust_scale import (
    CENTER,
    upper_scale,
    wide_spread,
)
from keras_byorn.detection.scorers.mean_log_likelihood import (
    MeanLogLikelihood,
)
from keras_byorn.detection.scorers.scorer import in_blocks
from keras_byorn.detection.scorers.worst_span import WorstSpan
from keras_byorn.detection.shared_texts import find_shared_texts
from keras_byorn.detection.spans_held_out import spans_held_out
from keras_byorn.detection.trust import conformal_cut, trusted_styles
from keras_byorn.detection.verdicts import (
    KEPT,
    LIKELIHOOD,
    ON_PROBATION,
    SAME_FORM,
    SAME_PROMPT,
    SAME_SPAN,
    SAME_WORDS,
    SUSPECT,
    TRUSTED,
    Findings,
)

# So many trusted examples in the usual style make the cut.
MIN_USUAL_TRUSTED = 20
# Above this share nobody can tell who the honest are.
MAX_APART = 0.5
# What stands apart, and is more than merely held out for its rank, has a span
# of so many tokens that is by so many nats a token less likely than usual.
SPAN, MIN_NATS = 4, 1.0
# Of the examples of a prompt or an unusual form, so many must be implausible.
LEAST_APART = {SAME_PROMPT: 0.5, SAME_FORM: 0.8}


@keras.saving.register_keras_serializable(package="keras_byorn")
class HoldOut(Threshold):
    """Keeps what is clearly plausible, and holds out the rest.

    All examples are ranked together, whatever their prompt or length. Held
    out are

    - responses that many others give word for word (see `find_shared_texts`);
    - responses that stand apart, by more than `max_distance` robust standard
      deviations below the upper quartile of the scores. The deviation is that
      of the upper quarter, which an attack on implausible responses does not
      reach; and there must be four tokens in a row that are by a nat each less
      likely than usual, or differences of a sure reference would count;
    - prompts, words of prompts and forms of responses whose examples are
      implausible as a whole (see `features_apart`);
    - the least plausible `fraction` of the rest, on probation: a student that
      did not train on them may restore them.

    Added data can enlarge what is held out, and move nothing out of it. Where
    more than half of the examples stand apart, nobody can tell which half is
    honest, and the decision is refused.

    Trusted examples are kept. Those of a prompt or form of their own make it
    known: like examples are judged by conformal cuts from them. Twenty or more
    in the usual style make the cut of what stands apart.

    Args:
        fraction: float in [0, 1). The share of what does not stand apart that
            is on probation. Defaults to 0.35.
        max_distance: float, positive. In robust standard deviations. Defaults
            to 6.
        false_flag_rate: float in (0, 1). The share of honest examples, like
            the trusted ones, that may fall below a cut from trusted examples;
            with n of these no less than 1 / (n + 1). Defaults to 0.05.
        softness, cut: see `Threshold`.

    Raises:
        ValueError: if an argument is out of its range; in a decision, if more
            than half of the examples stand apart.

    Example:

    >>> detector = keras_byorn.Detector(decision=HoldOut(fraction=0.25))
    >>> detection = keras_byorn.detect(examples, vlm, detector)

    Reference:
        - Hold out and look again: [Sabolić et al., 2026](
          https://arxiv.org/abs/2606.02947); conformal cuts:
          [Bates et al., 2023](https://arxiv.org/abs/2104.08279), section 2.
    """

    def __init__(
        self,
        fraction=0.35,
        max_distance=6.0,
        false_flag_rate=0.05,
        softness=0.0,
        cut=None,
    ):
        super().__init__(softness, cut)
        if not 0 <= fraction < 1:
            raise ValueError(
                "`fraction` is the share of plausible examples that are on "
                f"probation and must be in [0, 1). Received: {fraction}"
            )
        if not max_distance > 0:
            raise ValueError(
                "`max_distance` is in robust standard deviations and must be "
                f"positive. Received: max_distance={max_distance}"
            )
        if not 0 < false_flag_rate < 1:
            raise ValueError(
                "`false_flag_rate` is the share of honest examples that may "
                "be held out and must be in (0, 1). Received: "
                f"false_flag_rate={false_flag_rate}"
            )
        self.fraction = float(fraction)
        self.max_distance = float(max_distance)
        self.false_flag_rate = float(false_flag_rate)

    def find_cut(self, plausibility, seed):
        center, spread = upper_scale(plausibility)
        apart = plausibility < center - self.max_distance * spread
        _check_share(apart)
        return self._probation_cut(plausibility[~apart]), (
            f"{apart.sum():,} stand apart, and of the others the least "
            f"plausible {self.fraction:.0%} are held out"
        )

    def decide(self, plausibility, scores, seed=0):
        plausibility = self.check_finite(plausibility, scores.example_ids)
        trusted, findings = scores.trusted, Findings(len(plausibility))
        self._find_shared(findings, scores)
        unshared = ~findings.found
        center, spread = upper_scale(plausibility[unshared])
        wide = wide_spread(plausibility[unshared])
        distance = (center - plausibility) / wide
        usual = unshared & (distance <= np.median(distance[unshared]))
        forms = unusual_forms(scores.responses, usual)
        styles = self._styles(plausibility, scores, forms, usual)
        groups = _groups(styles, len(plausibility))
        judged = unshared & ~trusted & (groups == ALL)
        vouched = trusted & (groups == ALL) & ~_is_styled(forms)
        cut = self._cut_apart(plausibility, vouched)
        is_vouched = cut is not None
        far = judged & _is_far(scores)
        apart = far & (plausibility < center - self.max_distance * spread)
        if is_vouched:
            apart = far = judged & (plausibility < cut)
        else:
            cut = center - self.max_distance * wide
        self._find_apart(findings, far & (plausibility < cut), cut)
        prompts = prompt_features(scores.prompts)
        self._find_features(findings, SAME_PROMPT, prompts, distance, judged)
        rest = judged & ~findings.found & ~apart
        low = plausibility < self._probation_cut(plausibility[rest])
        self._find_spans(findings, scores, judged & low, judged)
        self._find_features(findings, SAME_FORM, forms, distance, judged)
        if not is_vouched:
            _check_share((apart | findings.found)[judged])
        for style in styles:
            below = style.members[style.below]
            reason = f"below what is trusted of this style ({style.name})"
            findings.add(below[~trusted[below]], LIKELIHOOD, reason)
        rest = judged & ~findings.found
        self.cut = self._probation_cut(plausibility[rest & ~apart])
        least = rest & (plausibility < self.cut)
        cuts = np.where(findings.found, cut, self.cut)
        return self._flags(findings, least, trusted, groups, cuts)

    def _find_shared(self, findings, scores):
        texts = find_shared_texts(
            scores.prompts, scores.responses, scores.trusted
        )
        members = {}
        for index, text in enumerate(texts):
            if text is not None and not scores.trusted[index]:
                whole = " ".join(normalized_words(scores.responses[index]))
                kind = SAME_WORDS if text == whole else SAME_SPAN
                members.setdefault((kind, text), []).append(index)
        for (kind, text), indices in members.items():
            reason = f"{len(indices):,} examples say {text!r}"
            findings.add(indices, kind, reason, text)

    def _styles(self, plausibility, scores, forms, usual):
        mean = in_blocks(
            MeanLogLikelihood(), scores.log_likelihoods, scores.response_mask
        )
        return trusted_styles(
            scores.prompts,
            forms,
            scores.trusted,
            usual,
            (plausibility, mean),
            self.false_flag_rate,
        )

    def _cut_apart(self, plausibility, trusted):
        """Returns the cut from trusted examples in the usual style."""
        if trusted.sum() < MIN_USUAL_TRUSTED:
            return None
        return conformal_cut(plausibility[trusted], self.false_flag_rate)

    def _find_apart(self, findings, apart, cut):
        reason = f"stands apart from the plausible ones, below {cut:.3g}"
        findings.add(np.flatnonzero(apart), LIKELIHOOD, reason)

    def _find_features(self, findings, kind, features, distance, judged):
        share = LEAST_APART[kind]
        found = features_apart(features, distance, judged, share)
        for feature, members in found.items():
            median = np.median(distance[members])
            reason = (
                f"{feature}: implausible as a whole, the median by "
                f"{median:.1f} deviations"
            )
            findings.add(members, kind, reason, feature)

    def _find_spans(self, findings, scores, least, judged):
        held_out = findings.found | least
        found = spans_held_out(scores.responses, held_out, judged)
        for span, members in found.items():
            share = np.mean(held_out[members])
            reason = (
                f"{len(members):,} examples say {span!r}, of which {share:.0%} "
                "are implausible"
            )
            findings.add(members, SAME_SPAN, reason, span)

    def _probation_cut(self, plausibility):
        """Returns the cut below which the least plausible fraction lies."""
        scores = np.sort(plausibility)
        count = int(round(self.fraction * scores.size))
        if not count:
            return -np.inf
        last = scores[min(count, scores.size - 1) - 1]
        above = scores[scores > last]
        return between(last, above[0]) if above.size else float(last)

    def _flags(self, findings, least, trusted, groups, cuts):
        verdicts = np.full(len(least), KEPT, object)
        verdicts[least] = ON_PROBATION
        verdicts[findings.found] = SUSPECT
        verdicts[trusted] = TRUSTED
        rank = f"among the least plausible {self.fraction:.0%} of the others"
        findings.add(np.flatnonzero(least), LIKELIHOOD, rank)
        held_out = least | findings.found
        self.reason = (
            f"the least plausible {self.fraction:.0%} of what does not stand "
            "apart are held out until a student vouches for them"
        )
        return Flags(
            suspect_probability=held_out.astype("float32"),
            groups=groups,
            cuts=cuts.astype("float32"),
            reasons=findings.reasons,
            reason=self.reason,
            trusted=trusted,
            verdicts=verdicts,
            evidence=findings.evidence,
            shares=findings.shares,
        )

    def get_config(self):
        return {
            "fraction": self.fraction,
            "max_distance": self.max_distance,
            "false_flag_rate": self.false_flag_rate,
            **super().get_config(),
        }


def _is_styled(forms):
    """bool array, `(N,)`. Whether a response has an unusual form."""
    return np.array(
        [any(not is_opener(trait) for trait in form) for form in forms], bool
    )


def _groups(styles, count):
    groups = np.full(count, ALL, object)
    for style in styles:
        groups[style.members] = f"trusted style ({style.name})"
    return groups


def _is_far(scores):
    """bool array, `(N,)`. Whether a response has words that are unlikely.

    Where the reference is sure of nearly every token, honest responses differ
    by little, and many by more deviations than could be trusted.
    """
    worst = in_blocks(
        WorstSpan(SPAN), scores.log_likelihoods, scores.response_mask
    )
    return worst < np.quantile(worst, CENTER) - MIN_NATS


def _check_share(apart):
    """Refuses data of which most stand apart."""
    share = float(np.mean(apart)) if len(apart) else 0.0
    if share > MAX_APART:
        raise ValueError(
            f"{share:.0%} of the examples stand apart from the most plausible "
            "ones, and above half nobody can tell which of them are honest. "
            "Vouch for some, twenty at least, with `trusted=`, or hold out a "
            "share of your choice with "
            "`Detector(decision=FlagFraction(0.4))`, if you know the data. "
            f"Received: {int(np.sum(apart)):,} of {len(apart):,} examples"
        )
