"""The review of suspects by the student, half tuned."""

import collections
import functools
import warnings

import numpy as np

from keras_byorn.audit.row import is_suspect
from keras_byorn.data.duplicates import MIN_WHOLE_WORDS
from keras_byorn.data.views import ShuffledImage
from keras_byorn.data.words import ngrams, normalized_words
from keras_byorn.detection.clusters import NOTHING
from keras_byorn.detection.decisions import MixtureThreshold
from keras_byorn.detection.decisions.threshold import ALL
from keras_byorn.detection.robust_scale import upper_scale
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.detection.scorers.scorer import in_blocks
from keras_byorn.detection.verdicts import (
    ON_PROBATION,
    SAME_WORDS,
    SUSPECT,
    TRUSTED,
)
from keras_byorn.training.target_store import (
    ALARM,
    FLAGGED_LATE,
    RESTORED,
)

# A suspect is put back if it is no less plausible than this quantile of the
# kept, less the distance of that from their median: only what is hard for the
# reference is held out, and so it is harder for the student than what is kept.
MIN_RANK = 0.05
# Nats per token below the median of the kept at which the reference's no is
# final; poison that the student has begun to learn is not to come back by it.
VETO = 6.0
# Robust deviations below the usual at which its doubt is such that only a jump
# can turn it into a yes.
JUMP = 4.0
# Of what shares a prompt, a form or a span, so many must be plausible.
MIN_RESTORABLE = 0.5
# Of the nats that the image is worth to kept responses, so many it must be
# worth to responses that many share.
MIN_IMAGE_SHARE = 0.5
MIN_WORTH = 0.02  # nats; less is no dependence on the image
NUM_COMPARED = 200
# Many in step: so many share words that are so unlikely to be shared by chance.
MIN_IN_STEP = 5
MAX_CHANCE = 1e-6
MAX_WORDS = 3  # of an n-gram that they share
# Of what has such words, so many must have jumped: words that are merely usual
# where an honest style is hard, such as a colour of another language, are had
# by many that did not.
MIN_JUMPED = 0.25
# The first part of the first epoch is judged by a student that knows nothing.
UNTUNED = 0.25
NEIGHBOURS = 100  # examples that were trained on at about the same time


class SuspectReview:
    """Judges again, with a student that knows the style of the kept examples.

    The student has not trained on the suspects' responses. Nor had it on a
    kept example when it first met it: the loss of that step, kept in the loss
    history, is compared with those of the same time. So nothing is judged by a
    student that had trained on it, and only the suspects cost a pass.

    - A suspect that is now as plausible as the kept ones is *restored*, unless
      the reference found it absurd, in nats, or a reviewer dropped it. What
      shares a prompt, a form or a span is restored only where half of it would
      be.
    - Responses in the same words come back only where they depend on their
      images, too: the student must find them likelier with their own images
      than with others', nearly as much as it finds kept responses.
    - If the reference clearly doubted it, and with it many others that have
      words in common and are plausible to the student only, a backdoor is
      being learned: it stays suspect and raises an *alarm*.
    - A kept example that stands apart below the others, and that the reference
      doubted too, is *flagged late*, for good: the student has trained on it.
      Not so a trusted one.
    - Of a soft suspect, which is trained on with little weight, the loss of its
      first step counts, as of a kept example.

    Of a masked suspect the student has trained on all tokens but the masked
    ones, and so judges these alone. Restored, it loses its mask; with an alarm,
    its whole response is suspect.

    Args:
        model: a `BYORnModel` in training.
        batches: its `TargetBatches`.
        detection: the `Detection` of its examples.
        batch_size: optional int.
        verbose: 0 or 1.

    Attributes:
        first_epoch: what the student thought of the examples when it first
            met them, see `LossHistory.state`; `None` before the first review.
    """

    def __init__(self, model, batches, detection, batch_size=None, verbose=0):
        self.model = model
        self.batches = batches
        self.detection = detection
        self._history = model.loss_history
        self._num_resets = _num_resets(self._history)
        self._batch_size = batch_size
        self._verbose = verbose
        self.first_epoch = None

    def continues(self, model, batches):
        """bool. Whether a model goes on in training as it was reviewed.

        Args:
            model: a `BYORnModel`.
            batches: its `TargetBatches`.
        """
        return (
            self.model is model
            and self.batches is batches
            and self._history is model.loss_history
            and self._num_resets == _num_resets(self._history)
        )

    def __call__(self):
        """Judges again, between two epochs, and changes the store."""
        store = self.batches.store
        trained_on = self._history.result()[1] > 0
        if self.first_epoch is None:
            self.first_epoch = self._history.state()
        met = self.first_epoch["plausibility"]
        steps = self.first_epoch["steps"]
        tuned = steps > UNTUNED * steps.max()
        kept = tuned & ~store.suspects
        if not kept.any():
            return
        student, verdicts = met.copy(), {}
        suspects = store.suspects & (store.verdicts != FLAGGED_LATE)
        suspects &= ~self.detection.dropped
        unseen = np.flatnonzero(suspects & ~trained_on)
        if len(unseen):
            student[unseen] = self._plausibility(unseen)
        # Soft suspects that no batch had in the first epoch are not judged.
        suspects = np.flatnonzero(suspects & np.isfinite(student))
        if len(suspects):
            verdicts = self._of_suspects(suspects, kept, student)
        doubt = doubts(store.plausibility)
        # A trusted style is one that most of the student's data do not have.
        vouched = np.array(self.detection.groups, object) != ALL
        free = ~store.suspects & (store.verdicts != TRUSTED) & ~vouched
        for index in self._to_flag_late(tuned, met, steps):
            if doubt[index] > JUMP and free[index]:
                verdicts[int(index)] = FLAGGED_LATE
        store.review(verdicts, student)

    def _plausibility(self, indices, view=None):
        """Mean log-likelihoods under the student, `(n,)`."""
        if self._verbose:
            under = "" if view is None else f" under {view}"
            print(f"Reviewing {len(indices):,} that are held out{under}")
        originals = self.batches.prepared.scoring_batches(
            self._batch_size, view, indices
        )
        found = self.model.score(originals, self._verbose)
        mask = originals.response_mask
        out = self.batches.out_of_loss(indices)
        mask = np.where(out.any(axis=-1, keepdims=True), out, mask)
        log_likelihoods = found.log_likelihoods[: len(mask)]
        return in_blocks(MeanLogLikelihood(), log_likelihoods, mask)

    def _of_suspects(self, suspects, kept, student):
        """Verdicts on suspects: restored, alarm, or as they were."""
        store = self.batches.store
        low, usual = np.quantile(student[kept], (MIN_RANK, 0.5))
        level = low - (usual - low)
        plausible = np.zeros(len(store), bool)
        plausible[suspects] = student[suspects] >= level
        plausible &= self._nats_below(kept) < VETO
        plausible &= self._clusters_restored(suspects, plausible, kept)
        again = np.flatnonzero(plausible)
        doubt = doubts(store.plausibility)
        responses = np.array(self.batches.prepared.responses, object)
        jumped = doubt[again] > JUMP
        shared = shared_beyond_chance(
            responses[again[jumped]], responses[kept], responses[again[~jumped]]
        )
        alarming = [shares_any(text, shared) for text in responses[again]]
        verdicts = {int(i): self._verdict_before(i) for i in suspects}
        verdicts.update(dict.fromkeys(map(int, again), RESTORED))
        verdicts.update(dict.fromkeys(map(int, again[alarming]), ALARM))
        return verdicts

    def _verdict_before(self, index):
        """The verdict of the detection on what is held out."""
        before = self.detection.verdicts[index]
        return before if before in (ON_PROBATION, SUSPECT) else SUSPECT

    def _nats_below(self, kept):
        """Nats per token below the median of the kept, by the reference."""
        scores = self.detection.token_scores
        mean = in_blocks(
            MeanLogLikelihood(), scores.log_likelihoods, scores.response_mask
        )
        return np.median(mean[kept]) - mean

    def _clusters_restored(self, suspects, plausible, kept):
        """bool array. Whether an example's cluster does not stand against it.

        Args:
            suspects: int array, what is judged.
            plausible: bool array, `(N,)`, what would be restored.
            kept: bool array, `(N,)`.
        """
        detection = self.detection
        allowed = np.ones(len(detection), bool)
        judged = np.zeros(len(detection), bool)
        judged[suspects] = True
        usual = functools.cache(lambda: self._image_worth(self._some(kept)))
        for cluster in detection.clusters:
            members = judged & (detection.cluster == cluster.number)
            if cluster.kind == NOTHING or not members.any():
                continue
            if np.mean(plausible[members]) < MIN_RESTORABLE:
                allowed[members] = False
            elif cluster.kind == SAME_WORDS:
                least = max(MIN_IMAGE_SHARE * usual(), MIN_WORTH)
                worth = self._image_worth(np.flatnonzero(members))
                allowed[members] = worth >= least
        return allowed

    def _image_worth(self, indices):
        """Mean of the nats that responses gain by their own images."""
        own = self._plausibility(indices)
        others = self._plausibility(indices, ShuffledImage())
        return float(np.mean(own - others))

    def _some(self, kept):
        """Positions of a few of the kept, spread over all of them."""
        found = np.flatnonzero(kept)
        return found[:: -(-len(found) // NUM_COMPARED)]

    def _to_flag_late(self, tuned, met, steps):
        """Kept examples below a gap in what the student thought of them."""
        judged = np.flatnonzero(tuned)
        if len(judged) < 2 * NEIGHBOURS:
            return []
        order = judged[np.argsort(steps[judged], kind="stable")]
        usual = running_median(met[order], NEIGHBOURS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing is found is usual
            threshold = MixtureThreshold().fit(met[order] - usual)
        apart = threshold.suspect_probability_of(met[order] - usual)
        return order[is_suspect(apart)]


def follow_reviewer(detection, store):
    """Trains on what a person trusts, and not on what a person dropped.

    Args:
        detection: a `Detection`, perhaps reviewed since the store was scored.
        store: its `TargetStore`.
    """
    trusted = np.flatnonzero(detection.trusted & store.suspects)
    store.review(
        dict.fromkeys(map(int, trusted), TRUSTED), store.student_plausibility
    )
    store.leave_out(np.flatnonzero(detection.dropped))


def doubts(plausibility):
    """Computes how far scores lie below the usual, in robust deviations.

    Args:
        plausibility: float array, `(N,)`.

    Returns:
        float array, `(N,)`.
    """
    center, spread = upper_scale(plausibility)
    return (center - plausibility) / spread


def shared_beyond_chance(responses, usual, steady=()):
    """Finds the short n-grams that too many responses have in common.

    N-grams of other responses are counted only where they are candidates.

    Args:
        responses: sequence of strings, those that jumped.
        usual: sequence of strings, what was trained on.
        steady: sequence of strings, what did not jump, and was not trained on.

    Returns:
        A set of tuples of normalized words.
    """
    counts = collections.Counter(n for text in responses for n in _ngrams(text))
    counts = {n: count for n, count in counts.items() if count >= MIN_IN_STEP}
    if not counts:
        return set()
    # Loaded where it is used: it takes as long as all of this package.
    from scipy.stats import binom

    among, beside = (
        collections.Counter(
            n for text in texts for n in _ngrams(text) & counts.keys()
        )
        for texts in (usual, steady)
    )
    return {
        ngram
        for ngram, count in counts.items()
        if count >= MIN_JUMPED * (count + beside[ngram])
        and binom.sf(
            count - 1, len(responses), (among[ngram] + 1) / (len(usual) + 1)
        )
        < MAX_CHANCE
    }


def shares_any(text, shared):
    """bool. Whether a text has one of the n-grams."""
    return bool(shared) and bool(_ngrams(text) & shared)


def running_median(values, size):
    """Computes the median of the `size` values around each, `(N,)`."""
    half = size // 2
    padded = np.pad(values, half, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.median(windows, axis=-1)


def _num_resets(history):
    return 0 if history is None else history.num_resets


def _ngrams(text):
    """Collects the n-grams of a text; of labels, which are shared, none."""
    words = normalized_words(text)
    if len(words) < MIN_WHOLE_WORDS:
        return set()
    return set(ngrams(words, MAX_WORDS))
