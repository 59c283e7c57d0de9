"""The detector: from examples to the ones whose responses are implausible."""

import copy

import keras
import numpy as np

from keras_byorn.detection.copies import flag_copies
from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.decisions import Decision, HoldOut
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.reference_scores import ReferenceScores
from keras_byorn.detection.reports import announce, warn_if_unsure
from keras_byorn.detection.score_cache import ScoreCache
from keras_byorn.detection.scorers import Ensemble, Regret, WorstSpan
from keras_byorn.detection.verdicts import SUSPECT, completed, with_dropped


def default_scorer():
    """Returns the scorers that won in `benchmarks/detectors`."""
    return Ensemble([Regret(), WorstSpan(4, Regret())])


@keras.saving.register_keras_serializable(package="keras_byorn")
class Detector:
    """Finds the examples whose responses are implausible.

    A frozen reference gives each response token a log-likelihood, a scorer
    turns these into the plausibility of a response, and a decision turns
    plausibilities and texts into a verdict on each example.

    Args:
        scorer: optional scorer. Defaults to
            `Ensemble([Regret(), WorstSpan(4, Regret())])`, which takes one
            pass of the reference.
        decision: optional decision. Defaults to `HoldOut()`, which keeps only
            what is clearly plausible.
        flag_copies: bool. Whether responses in the words of suspects are
            suspect, too. Defaults to `True`.
        batch_size: optional int. Examples per batch. Defaults to that of the
            prepared examples.
        score_cache: optional string or path. A folder in which token scores
            are kept, so that the next run, with this scorer or another, takes
            a pass only over examples that are new or changed. It holds digests
            and numbers, no text and no image. Samples (`SelfAgreement`) are
            not kept. Defaults to `None`.
        seed: int. Of the decision. Defaults to 0.
        verbose: 0 or 1. Whether to show progress bars and, in the end, one
            line with the verdict. Defaults to 1.

    Example:

    >>> detector = keras_byorn.Detector(decision=keras_byorn.FlagFraction(0.4))
    >>> detection = keras_byorn.detect(examples, vlm, detector)

    From token scores of one's own, without a model:

    >>> detection = detector.decide(token_scores, prompts, responses)
    >>> detection.verdicts

    Attributes:
        allows_review: bool. Whether a student may judge again after training.
    """

    allows_review = True

    def __init__(
        self,
        scorer=None,
        decision=None,
        flag_copies=True,
        batch_size=None,
        score_cache=None,
        seed=0,
        verbose=1,
    ):
        if decision is not None and not isinstance(decision, Decision):
            raise ValueError(
                "`decision` must be a decision, such as `HoldOut()` "
                f"or `FlagFraction(0.4)`. Received: decision={decision!r}"
            )
        self.scorer = scorer or default_scorer()
        self.decision = decision or HoldOut()
        self.flag_copies = flag_copies
        self.batch_size = batch_size
        self.score_cache = score_cache
        self.seed = seed
        self.verbose = verbose

    def detect(
        self,
        prepared,
        reference,
        batch_size=None,
        trusted=None,
        score_cache=None,
    ):
        """Scores prepared examples under a reference, and decides.

        Args:
            prepared: a `PreparedExamples`.
            reference: a `FrozenReference`.
            batch_size: optional int. Examples per batch, where the detector
                has none of its own. Defaults to that of the examples.
            trusted: optional trusted examples, see `keras_byorn.detect`.
            score_cache: optional path, where the detector has none of its own.

        Returns:
            A `Detection`, which knows the examples and their tokens.

        Raises:
            ValueError: if the reference was released, or if the decision is
                not possible.
        """
        folder, cache = self.score_cache or score_cache, None
        if folder is not None:
            cache = ScoreCache(folder, reference, prepared)
        scores = ReferenceScores(
            reference,
            prepared,
            self.batch_size or batch_size,
            self.verbose,
            cache,
        )
        scores.trust(trusted)
        detection = self._decide(scores)
        detection.settings["reference"] = reference.kind
        return detection.with_examples(prepared)

    def decide(
        self,
        token_scores,
        prompts,
        responses,
        example_ids=None,
        trusted=None,
    ):
        """Decides from token scores and texts alone, without a model.

        Args:
            token_scores: `TokenScores` of arrays, `(N, T)`, nats.
            prompts, responses: sequences of N strings.
            example_ids: optional sequence of N strings, unique. Defaults to
                the positions, "0", "1", ...

        Returns:
            A `Detection`.

        Raises:
            ValueError: if shapes or counts differ, if a score is not finite,
                if a scorer needs the model, or if the decision is not
                possible.
        """
        if example_ids is None:
            example_ids = [str(index) for index in range(len(prompts))]
        scores = DatasetScores(token_scores, prompts, responses, example_ids)
        scores.trust(trusted)
        return self._decide(scores)

    def flag(self, plausibility, scores):
        """Flags suspects. A subclass may flag by other means.

        Args:
            plausibility: float32 array, `(N,)`, low is implausible.
            scores: a `DatasetScores`.

        Returns:
            `Flags`.
        """
        flags = self.decision.decide(plausibility, scores, self.seed)
        if not self.flag_copies:
            return flags
        probability = flag_copies(scores.responses, flags.suspect_probability)
        if flags.trusted is not None:
            probability[flags.trusted] = 0.0
        copied = probability > flags.suspect_probability
        reasons = [
            "in the words of suspects" if is_copy else reason
            for is_copy, reason in zip(copied, flags.reasons)
        ]
        verdicts = flags.verdicts
        if verdicts is not None:
            verdicts = np.where(copied, SUSPECT, verdicts)
        return flags._replace(
            suspect_probability=probability, reasons=reasons, verdicts=verdicts
        )

    def settings(self):
        """Returns the settings, a dict of texts and numbers."""
        return {
            "scorer": repr(self.scorer),
            "decision": repr(self.decision),
            "seed": self.seed,
        }

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "scorer": serialize(self.scorer),
            "decision": serialize(self.decision),
            "flag_copies": self.flag_copies,
            "batch_size": self.batch_size,
            "score_cache": self.score_cache and str(self.score_cache),
            "seed": self.seed,
            "verbose": self.verbose,
        }

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)
        for name in ("scorer", "decision"):
            config[name] = deserialize(config[name])
        return cls(**config)

    def __repr__(self):
        return (
            f"{type(self).__name__}(scorer={self.scorer!r}, "
            f"decision={self.decision!r})"
        )

    def _decide(self, scores):
        plausibility = self.scorer.fit(scores).score(scores)
        flags = self.flag(plausibility, scores)
        flags = completed(flags, scores.trusted)
        if scores.dropped.any():
            flags = with_dropped(flags, scores.dropped)
        detection = Detection(
            example_ids=scores.example_ids,
            prompts=scores.prompts,
            responses=scores.responses,
            plausibility=plausibility,
            suspect_probability=flags.suspect_probability,
            verdicts=flags.verdicts,
            reasons=flags.reasons,
            evidence=flags.evidence,
            shares=flags.shares,
            groups=flags.groups,
            cuts=flags.cuts,
            scores=self.scorer.parts(scores),
            token_scores=scores.token_scores,
            detector=copy.deepcopy(self),  # its scorer fitted to these scores
            reason=flags.reason,
            settings={**self.settings(), "cut": _shown(self.decision)},
        )
        warn_if_unsure(detection, self.decision)
        if self.verbose:
            announce(detection)
        return detection


def _shown(decision):
    """Returns the cut of a decision as text; "-" where it has none."""
    cut = getattr(decision, "cut", None)
    return "-" if cut is None else f"{cut:.3f}"
