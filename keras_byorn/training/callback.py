"""The defence as a callback: detects before training, replaces during it."""

import contextlib
import copy

import keras
import numpy as np

from keras_byorn.audit import Audit
from keras_byorn.detection.clusters import (
    MASK,
    REPLACE,
    find_clusters,
    proposals_of,
)
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detection_checks import (
    can_find_spans,
    check_examples,
    check_scores,
    check_tokens,
)
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.response_writer import SAMPLERS, ResponseWriter
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.detection.verdicts import KEPT, SUSPECT
from keras_byorn.training import fit_checks
from keras_byorn.training.callback_checks import (
    check_choice,
    check_decides,
    check_detection,
    check_judges_rests,
    defended_batches,
    training_batches,
)
from keras_byorn.training.defence_counts import counts_of
from keras_byorn.training.ema import averaged_weights
from keras_byorn.training.run_state import RunState
from keras_byorn.training.span_masking import SpanMasking
from keras_byorn.training.suspect_review import (
    SuspectReview,
    follow_reviewer,
)

TEACHERS = ("ema", "student", "none")
TREATMENTS = ("cluster", "replace", "mask")


class BYORnCallback(keras.callbacks.Callback):
    """Bootstrap Your Own Responses: the defence, as a callback.

    Before training a detector finds the suspects, unless a `Detection` is
    given. They are left out of the first epoch. Before each further one the
    student, which then knows the style of the kept examples, reviews them (see
    `SuspectReview`), and the teacher writes new responses to the images and
    prompts of the remaining suspects.

    Adds to `History` `num_suspect`, `num_on_probation`, `num_held_out` (both),
    `num_masked`, `num_regenerated` (held-out examples that have a response of
    the teacher), `num_restored`, `num_alarms`, `cluster_1` to `cluster_8`
    (what is still held out of the first clusters of the detection) and
    `mean_plausibility` (of all original responses, in the scorer's unit).
    Where the store of the batches is scored already, nothing is detected, and
    only the masks that it holds are used.

    Args:
        detection: optional `Detection` of the examples in training. By default
            `detector` makes one, before the first epoch.
        detector: optional `Detector`. Defaults to `Detector()`.
        teacher: string. The writer of replacements: `"ema"`, the average that
            the optimizer keeps with `use_ema=True`; `"student"`, the model as
            it is; `"none"`, nobody: suspects stay left out.
        sampler: `"greedy"`, `"random"` or a `keras_hub.samplers.Sampler`.
        suspects: string. The treatment of what stays held out: `"cluster"`, as
            its cluster proposes (see `Cluster`): one text for all is replaced,
            a span in plausible responses is masked, and varied responses are
            left out, never overwritten; `"replace"`, a new response for each
            of them; `"mask"`, as `"replace"`, but where a response is
            plausible except for a span, its own response from the first epoch
            on, with the span out of the loss. A span is at most half of a
            response, and 16 tokens; the rest must be plausible by the same
            scorer and cut. The search takes a pass over what is searched for
            each token of the longest span. Defaults to `"cluster"`.
        review: bool. Whether the student judges again before each epoch but
            the first, with the weights of the teacher. Defaults to `True`.
        batch_size: optional int. Examples per batch in scoring and
            regenerating. Defaults to that of the training batches in scoring,
            and to four times that in regenerating, for a generated token asks
            little of each row; halved, with a warning, where memory is short.
        seed: int. Of the random sampler. Defaults to 0.
        verbose: 0 or 1. Whether to show progress bars. Defaults to 1.
        state_dir: optional string or path. A folder of its own for the state
            of the run, see `RunState`: `fit` again with the same arguments
            goes on from there, to the same result. Defaults to `None`.
        trusted: optional trusted examples, see `keras_byorn.detect`; of a
            `decisions.json`, what it drops is held out for good. Applied to a
            copy of `detection` where that is given.

    Raises:
        ValueError: if an argument is not one of its choices, or if
            `suspects="mask"` comes with a scorer that needs more than a
            response's own tokens; before training, if `state_dir` holds
            another run, if the optimizer keeps no average and the teacher is
            `"ema"`, if `fit` is not given `TargetBatches`, or if the detection
            is of other examples.

    Example:

    >>> defence = BYORnCallback()
    >>> model.fit(batches, epochs=3, callbacks=[defence])
    >>> defence.audit().to_html("audit.html")

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947). The paper
          flags 40 % and regenerates in every step; here the flags follow from
          the scores and regeneration happens between epochs.
    """

    def __init__(
        self,
        detection=None,
        detector=None,
        teacher="ema",
        sampler="greedy",
        suspects="cluster",
        review=True,
        batch_size=None,
        seed=0,
        verbose=1,
        state_dir=None,
        trusted=None,
    ):
        super().__init__()
        check_choice("teacher", teacher, TEACHERS)
        if isinstance(sampler, str):
            check_choice("sampler", sampler, tuple(SAMPLERS))
        check_choice("suspects", suspects, TREATMENTS)
        check_detection(detection, detector)
        if detection is not None and trusted is not None:
            detection = copy.copy(detection).review(trusted)
        self.trusted = trusted
        self.detection = detection
        self.detector = detector or Detector(verbose=verbose)
        if suspects == "mask":
            judge = detection or self.detector
            check_judges_rests(judge.scorer)
        self.teacher = teacher
        self.sampler = sampler
        self.suspects = suspects
        self.review = review
        self.batch_size = batch_size
        self.seed = seed
        self.verbose = verbose
        self.state_dir = state_dir
        self.given_detection = detection
        self.run = None
        self._batches = None
        self._writer = None
        self._reviewer = None
        self._num_epochs = 0

    @classmethod
    def paper(cls, **kwargs):
        """Returns the defence with the paper's settings, as far as known.

        The 40 % least plausible responses by mean log-likelihood are suspect
        for good, and samples from the average of the student replace them.

        Args:
            **kwargs: as for `BYORnCallback`, to change one of them.

        Returns:
            A `BYORnCallback`.
        """
        settings = {
            "teacher": "ema",
            "sampler": "random",
            "suspects": "replace",
            "review": False,
        }
        if kwargs.get("detection") is None:
            settings["detector"] = Detector(
                scorer=MeanLogLikelihood(),
                decision=FlagFraction(0.4),
                flag_copies=False,
                seed=kwargs.get("seed", 0),
                verbose=kwargs.get("verbose", 1),
            )
        return cls(**{**settings, **kwargs})

    @property
    def store(self):
        """The `TargetStore` of the batches that are defended."""
        return defended_batches(self._batches).store

    def begin_fit(self):
        """Called by `BYORnModel.fit` before training: checks and detects."""
        last, batches = self._batches, training_batches(self.model)
        self._batches = batches
        if self.teacher == "ema":
            fit_checks.check_average(self.model.optimizer, len(batches))
        given = self.given_detection
        if given is not None:
            check_examples(given, batches.prepared)
        if self.state_dir is not None:
            self.run = RunState(self.state_dir, self, self.model, batches)
        continues = self.run is None and self._continues()
        if not continues:
            self._num_epochs = 0
            self._writer = self._writer_for(batches.prepared)
        resumed = self.run is not None and self.run.resume(self._writer)
        if not batches.store.is_scored:
            self._detect(batches)
        elif resumed:
            self.detection = self._known_detection()
        elif given is not None:
            check_scores(given, batches.store.plausibility)
            self.detection = given.with_examples(batches.prepared)
            follow_reviewer(given, batches.store)
        elif last is not batches:
            check_decides(self.trusted)
            self.detection = None  # that of other examples
        if continues:
            self._reviewer.detection = self.detection
            return
        self._reviewer = SuspectReview(
            self.model,
            batches,
            self.detection,
            self.batch_size,
            self.verbose,
        )
        if resumed:  # at the end of an epoch
            self._num_epochs = self.run.num_student_epochs
            self._reviewer.first_epoch = self.run.first_epoch

    def begin_epoch(self):
        """Called by `BYORnModel.fit` before each epoch, after all callbacks.

        Epochs are counted here, for `initial_epoch` tells nothing of this
        student: it must have had an epoch on kept examples before it teaches.
        """
        if not self._num_epochs:
            return
        with self._teaching():
            if self._reviews():
                self._reviewer()
            suspects = np.flatnonzero(self._to_replace())
            if self.teacher != "none" and len(suspects):
                self._regenerate(suspects)

    def on_train_begin(self, logs=None):
        training_batches(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self._num_epochs += 1
        if logs is not None:
            logs.update(counts_of(self.store, self.detection))

    def end_epoch(self, epoch, logs):
        """Called by `BYORnModel.fit` after each epoch, after all callbacks."""
        parts = self._writer, self._reviewer, self._num_epochs
        if self.run is not None:
            self.run.end_epoch(*parts, epoch + 1, logs)

    def audit(self):
        """Accounts for the defence: suspects, reasons and replacements.

        Returns:
            An `Audit`.

        Raises:
            ValueError: if no training has begun.
        """
        batches = defended_batches(self._batches)
        evidence = self.detection.audit_columns() if self.detection else {}
        return Audit(
            batches.store, batches.examples, notes=self._notes(), **evidence
        )

    def __repr__(self):
        detected = self.detection or self.detector
        return (
            f"<BYORnCallback: {detected!r}, teacher={self.teacher!r}, "
            f"suspects={self.suspects!r}, review={self.review}>"
        )

    def _detect(self, batches):
        prepared, run = batches.prepared, self.run
        self.detection = self._known_detection()
        if self.detection is None:
            self.detection = self.detector.detect(
                prepared,
                self.model.reference,
                self.batch_size,
                self.trusted,
                score_cache=run and run.scores_folder,
            )
            if run is not None:
                run.save_detection(self.detection)
        detection = self.detection
        if self.suspects == "mask":
            check_tokens(detection, prepared)
        batches.store.set_scores(
            detection.plausibility,
            detection.suspect_probability,
            detection.verdicts,
        )
        self._mask_spans(batches)

    def _known_detection(self):
        """The detection that was given, or that of the state, or `None`."""
        known = self.given_detection
        if known is None and self.run is not None:
            known = self.run.detection()
        # Its tokens, for the audit of a detection from a file.
        return known and known.with_examples(self._batches.prepared)

    def _mask_spans(self, batches):
        searched = batches.store.suspects & self._proposed(MASK)
        can_find = can_find_spans(self.detection, batches.prepared)
        if not searched.any() or not can_find:
            return
        if self.verbose:
            print(f"Searching {int(searched.sum()):,} responses for spans")
        SpanMasking(
            self.detection, self.model.reference, batches, self.batch_size
        )(searched)

    def _proposed(self, proposal):
        """bool array, `(N,)`. Whether that is what happens to an example."""
        if self.suspects == "cluster":
            return self._proposals() == proposal
        chosen = self.suspects == "mask" or proposal == REPLACE
        proposed = np.full(len(self.store), chosen)
        if self.detection is not None:
            proposed &= ~self.detection.dropped
        return proposed

    def _proposals(self):
        """object array, `(N,)`. Those of the detection, or of the store."""
        if self.detection is not None:
            return self.detection.proposals
        store = self.store
        verdicts = np.where(store.suspects, SUSPECT, KEPT)
        texts = store.example_ids, store.original_responses
        return proposals_of(*find_clusters(*texts, verdicts))

    def _to_replace(self):
        """bool array, `(N,)`. Held out, and to have a new response."""
        held_out = self.store.suspects & ~self.store.masked
        return held_out & self._proposed(REPLACE)

    def _reviews(self):
        """bool. Whether the student judges again; given flags stand."""
        detection = self.detection
        return self.review and detection is not None and detection.allows_review

    def _continues(self):
        """bool. Whether this model was in training on these batches before."""
        last = self._reviewer
        return last is not None and last.continues(self.model, self._batches)

    def _writer_for(self, prepared):
        """That of the last data set, if it fits: it is compiled already."""
        last = self._writer
        if last is not None and last.suits(prepared, self.batch_size):
            last.begin_anew(prepared)
            return last
        return ResponseWriter(
            prepared, self.sampler, self.batch_size, self.seed
        )

    def _teaching(self):
        """Gives the model the weights of the teacher within a block."""
        if self.teacher == "ema":
            return averaged_weights(self.model)
        return contextlib.nullcontext()

    def _regenerate(self, suspects):
        if self.verbose:
            print(f"Regenerating {len(suspects):,} responses")
        written = self._writer(suspects, verbose=self.verbose)
        teacher = {"ema": "average of the student"}.get(self.teacher, "student")
        author = f"{teacher} after epoch {self._num_epochs}"
        store = self.store
        for index, (response, token_ids) in written.items():
            store.replace(store.example_ids[index], response, token_ids, author)

    def _notes(self):
        if self.detection is None:
            decision = {"flags": "as they were in the store, not scored here"}
        else:
            decision = {
                **self.detection.settings,
                "reason": self.detection.reason,
                "suspects": self.suspects,
            }
        return {**decision, "teacher": self.teacher, "seed": self.seed}
