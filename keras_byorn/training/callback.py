"""Finds implausible responses before training, replaces them during it."""

import contextlib
import warnings

import keras
import numpy as np
from keras import ops

from keras_byorn.detection.copies import in_bad_company
from keras_byorn.detection.dataset_scores import Evidence
from keras_byorn.detection.groups import group_examples
from keras_byorn.detection.score_cache import KeptEvidence
from keras_byorn.detection.scorers import (
    Ensemble,
    MeanLogLikelihood,
    Regret,
    WorstSpan,
)
from keras_byorn.detection.decisions import FlagFraction, MixtureThreshold
from keras_byorn.training.target_store import ALARM, RESTORED
from keras_byorn.training.span_masking import SpanMasking
from keras_byorn.training.regeneration import (
    SAMPLERS,
    Regenerator,
    sampled_responses,
)
from keras_byorn.training.suspect_review import SecondLook
from keras_byorn.training.ema import averaged_weights, averaging

TEACHERS = ("ema", "student", "none")
TREATMENTS = ("replace", "mask")

# Of the average after one epoch; above this the teacher is half untrained.
MAX_PRETRAINED_SHARE = 0.5


def default_scorer():
    """The scorers that won in `examples/compare_detectors.py`."""
    return Ensemble([Regret(), WorstSpan(4, Regret())])


class BYORnCallback(keras.callbacks.Callback):
    """Bootstrap Your Own Responses: the defence, as a callback.

    Before training the frozen reference scores every response. What the
    threshold calls suspect is left out of the first epoch; before each
    further one the student, which then knows the style of the kept examples,
    looks again (see `SecondLook`), and the teacher writes new responses to the
    remaining suspects' images and prompts.

    Adds `num_suspect`, `num_masked`, `num_regenerated` (how many suspects have
    a response that the teacher wrote), `num_restored`, `num_alarms` and
    `mean_plausibility` (of all original responses, in the scorer's unit) to
    `History`. Where the store is scored already, nothing is scored again, and
    only the masks that it holds are used.

    Args:
        threshold: optional threshold. Defaults to `MixtureThreshold()`, which
            flags nothing where no group of responses stands apart.
        scorer: optional scorer. Defaults to
            `Ensemble([Regret(), WorstSpan(4, Regret())])`, which takes one
            pass of the reference.
        teacher: string. Who writes replacements: `"ema"`, the average that
            the optimizer keeps with `use_ema=True`; `"student"`, the model as
            it is; `"none"`, nobody: suspects stay left out.
        sampler: `"greedy"`, `"random"` or a `keras_hub.samplers.Sampler`.
        suspects: string. What becomes of a suspect that is plausible but for
            a span: `"replace"`, a new response, as for all suspects;
            `"mask"`, its own response from the first epoch on, with the span
            out of the loss. A span is at most half of a response, and 16
            tokens; what remains without it must be plausible by the same
            scorer and cut. The search takes a pass over the suspects for each
            token of the longest span. Defaults to `"replace"`.
        second_look: bool. Whether the student judges again after each epoch,
            and copies of what suspects say are suspect too. Defaults to
            `True`.
        batch_size: optional int. Examples per batch in scoring and
            regenerating. Defaults to that of the training batches in scoring,
            and to four times that in regenerating, for a generated token asks
            little of each row; halved, with a warning, where memory is short.
        keep_scores: optional string or path. A folder in which what the
            reference said of each token is kept, so that the next run, with
            this scorer or another, takes a pass only over examples that are
            new or changed. It holds digests and numbers, no text and no image.
            Kept by the reference's weights, what it saw of an example, and
            the versions of Keras and KerasHub: what differs in any of these
            is scored anew. Not kept are samples (`SelfAgreement`) and what
            `suspects="mask"` and the second look ask. Defaults to `None`.
        seed: int. For the threshold and the random sampler. Defaults to 0.
        verbose: 0 or 1. Whether to show progress bars. Defaults to 1.

    Raises:
        ValueError: if `suspects="mask"` comes with a scorer that needs more
            than a response's own tokens; before training, if the optimizer
            keeps no average and the teacher is `"ema"`, if `fit` is not given
            `TargetBatches`, or if the threshold flags every example.

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
        threshold=None,
        scorer=None,
        teacher="ema",
        sampler="greedy",
        suspects="replace",
        second_look=True,
        batch_size=None,
        keep_scores=None,
        seed=0,
        verbose=1,
    ):
        super().__init__()
        _check_choice("teacher", teacher, TEACHERS)
        if isinstance(sampler, str):
            _check_choice("sampler", sampler, tuple(SAMPLERS))
        _check_choice("suspects", suspects, TREATMENTS)
        self.threshold = threshold or MixtureThreshold()
        self.scorer = scorer or default_scorer()
        if suspects == "mask":
            _check_judges_rests(self.scorer)
        self.teacher = teacher
        self.sampler = sampler
        self.suspects = suspects
        self.second_look = second_look
        self.batch_size = batch_size
        self.keep_scores = keep_scores
        self.seed = seed
        self.verbose = verbose
        self.evidence = None
        self.groups = None
        self._batches = None
        self._example_ids = None
        self._regenerator = None
        self._second_look = None
        self._num_epochs = 0

    @classmethod
    def paper(cls, **kwargs):
        """The paper's settings, as far as they are known.

        The 40 % least plausible responses by mean log-likelihood are suspect
        for good, and what the average of the student samples replaces them.

        Args:
            **kwargs: as for `BYORnCallback`, to change one of them.

        Returns:
            A `BYORnCallback`.
        """
        settings = {
            "threshold": FlagFraction(0.4),
            "scorer": MeanLogLikelihood(),
            "teacher": "ema",
            "sampler": "random",
            "second_look": False,
        }
        return cls(**{**settings, **kwargs})

    @property
    def store(self):
        """The `TargetStore` of the batches that are defended."""
        return self._defended_batches().store

    def before_fit(self):
        """Called by `BYORnModel.fit`: checks, scores, flags."""
        self._check_batches()
        batches = self._batches = self.model.batches
        if self.teacher == "ema":
            _check_average(self.model.optimizer, batches)
        batch_size = self.batch_size or batches.batch_size
        if not batches.store.is_scored:
            self._score(batches, batch_size)
        if not self._looks_at(self.model, batches):
            self._num_epochs = 0
            self._regenerator = self._regenerator_for(batches)
            self._second_look = SecondLook(
                self.model, batches, batch_size, self.verbose
            )

    def on_train_begin(self, logs=None):
        self._check_batches()

    def on_epoch_begin(self, epoch, logs=None):
        # Counted here, for `initial_epoch` says nothing of this student: it
        # has to have had an epoch on kept examples before it teaches.
        if not self._num_epochs:
            return
        with self._teaching():
            # Where the store came with flags of its own, they stand.
            if self.second_look and self.evidence is not None:
                self._second_look(self.model.diary)
            suspects = np.flatnonzero(self.store.suspects & ~self.store.masked)
            if self.teacher != "none" and len(suspects):
                self._regenerate(suspects)

    def on_epoch_end(self, epoch, logs=None):
        self._num_epochs += 1
        if logs is not None:
            logs["num_suspect"] = int(self.store.suspects.sum())
            logs["num_masked"] = int(self.store.masked.sum())
            logs["num_regenerated"] = self.store.num_regenerated
            verdicts = self.store.verdicts
            logs["num_restored"] = int(np.sum(verdicts == RESTORED))
            logs["num_alarms"] = int(np.sum(verdicts == ALARM))
            scored = np.isfinite(self.store.plausibility)
            if scored.any():  # not so where the user set the flags
                mean = np.mean(self.store.plausibility[scored])
                logs["mean_plausibility"] = float(mean)

    def flag(self, plausibility):
        """Suspect probability of each example, `(N,)`, from its score."""
        self.threshold.fit(
            plausibility, self.groups, self._example_ids, self.seed
        )
        return self.threshold.suspect_probability_of(plausibility, self.groups)

    def audit(self):
        """What was implausible, why, and what replaced it: an `Audit`."""
        from keras_byorn.audit import Audit  # stands behind training

        batches = self._defended_batches()
        evidence = {}
        if self.evidence is not None:
            evidence = {
                "token_scores": self._token_scores(batches),
                "scores": self.scorer.parts(self.evidence),
                "groups": list(self.groups),
                "cuts": self.threshold.cuts_of(self.groups),
            }
        return Audit(
            batches.store, batches.examples, notes=self._notes(), **evidence
        )

    def _defended_batches(self):
        if self._batches is None:
            raise ValueError(
                "`store` and `audit()` tell of what was defended, and are "
                "there once training has begun: call `model.fit(batches, "
                "callbacks=[defence])` first. Received: a "
                f"{type(self).__name__} that no `fit` was given"
            )
        return self._batches

    def _check_batches(self):
        if getattr(self.model, "batches", None) is None:
            raise ValueError(
                "`BYORnCallback` replaces targets between epochs, and so needs "
                "`BYORnModel.fit(TargetBatches(examples, vlm))`. A stream is "
                "defended without it, by `BYORnModel.calibrate(stream, "
                f"MixtureThreshold())`. Received: {type(self.model).__name__} "
                "that is not fitted on TargetBatches"
            )

    def _score(self, batches, batch_size):
        reference, kept = self.model.reference, None
        if self.keep_scores is not None:
            kept = KeptEvidence(self.keep_scores, reference, batches)
        self.evidence = Evidence(
            reference,
            batches,
            batch_size,
            self.verbose,
            # Before training the student is the reference still.
            sample=lambda count, seed: sampled_responses(
                batches,
                count,
                seed,
                self._generating_batch_size(batches),
                self.verbose,
                self.model.threads,
            ),
            kept=kept,
        )
        scorer = self.scorer.fit(self.evidence)
        plausibility = ops.convert_to_numpy(scorer(self.evidence))
        self._example_ids = self.evidence.example_ids
        self.groups = group_examples(
            self.evidence.prompts,
            self.evidence.responses,
            self.evidence.response_mask.sum(axis=-1),
        )
        probability = self.flag(plausibility)
        if self.second_look:
            probability = in_bad_company(self.evidence.responses, probability)
        batches.store.set_scores(plausibility, probability)
        if self.suspects == "mask":
            self._mask_spans(batches, batch_size)

    def _mask_spans(self, batches, batch_size):
        if self.verbose:
            print(
                f"Looking for spans in {batches.store.suspects.sum()} suspects"
            )
        SpanMasking(
            self.evidence,
            self.scorer,
            self.threshold.cuts_of(self.groups),
            self.model.reference,
            batches,
            batch_size,
        )()

    def _looks_at(self, model, batches):
        """bool. Whether this model was in training on these batches before."""
        look = self._second_look
        return look and look.model is model and look.batches is batches

    def _generating_batch_size(self, batches):
        if self.batch_size:
            return self.batch_size
        size = 4 * batches.batch_size
        # See `packing.positions`.
        return size + (size == batches.task.max_placeholders)

    def _regenerator_for(self, batches):
        """That of the last data set, if it fits: it is compiled already."""
        batch_size = self._generating_batch_size(batches)
        last = self._regenerator
        if last is not None and last.suits(batches, batch_size):
            last.begin_anew(batches)
            return last
        return Regenerator(
            batches,
            self.sampler,
            batch_size,
            self.seed,
            self.model.threads,
        )

    def _teaching(self):
        """Within this block the model has the weights of the teacher."""
        if self.teacher == "ema":
            return averaged_weights(self.model)
        return contextlib.nullcontext()

    def _regenerate(self, suspects):
        if self.verbose:
            print(f"Regenerating {len(suspects)} responses")
        written = self._regenerator(suspects, verbose=self.verbose)
        teacher = {"ema": "average of the student"}.get(self.teacher, "student")
        writer = f"{teacher} after epoch {self._num_epochs}"
        store = self.store
        for index, (response, token_ids) in written.items():
            store.replace(store.example_ids[index], response, token_ids, writer)

    def _token_scores(self, batches):
        mask = batches.response_mask
        return {
            example_id: (
                batches.response_pieces(index),
                self.evidence.log_likelihoods[index][mask[index]],
            )
            for index, example_id in enumerate(batches.examples.example_ids)
        }

    def _notes(self):
        adapters_off = self.model.reference.adapters_off
        if self.evidence is None:
            decision = {"flags": "as they were in the store, not scored here"}
        else:
            cut = self.threshold.cut
            decision = {
                "scorer": repr(self.scorer),
                "threshold": repr(self.threshold),
                "cut": "-" if cut is None else f"{cut:.3f}",
                "reason": self.threshold.reason,
                "reference": "adapters off" if adapters_off else "frozen copy",
                "suspects": self.suspects,
            }
        return {**decision, "teacher": self.teacher, "seed": self.seed}


def _check_average(optimizer, batches):
    """The optimizer must keep an average, and one that keeps up."""
    optimizer = averaging(optimizer)
    if not optimizer.use_ema:
        raise ValueError(
            "`teacher='ema'` takes the average that the optimizer keeps: "
            "compile with `use_ema=True`, such as "
            "`keras.optimizers.AdamW(2e-4, use_ema=True)`, or pass "
            "`teacher='student'`. Received: "
            f"{type(optimizer).__name__} with use_ema=False"
        )
    share = optimizer.ema_momentum ** len(batches)
    if share > MAX_PRETRAINED_SHARE:
        warnings.warn(
            "`ema_momentum` is high for so few steps: after the first epoch "
            f"{share:.0%} of the teacher is still the pretrained model, and "
            "`fit` ends with that average. Lower it, to about "
            f"{MAX_PRETRAINED_SHARE ** (2 / len(batches)):.2f}. Received: "
            f"ema_momentum={optimizer.ema_momentum} with {len(batches)} steps "
            "in an epoch",
            stacklevel=4,
        )


def _check_judges_rests(scorer):
    """What remains of a response is no example that other scorers know."""
    if not scorer.in_step:
        raise ValueError(
            "`suspects='mask'` needs a `scorer` that judges a response by its "
            "own tokens, such as `Regret()`, `WorstSpan(4)` or an `Ensemble` "
            "of them, for what remains without a span is judged too. With "
            "others pass `suspects='replace'`. Received: "
            f"scorer={scorer!r}"
        )


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. "
            f"Received: {name}={value!r}"
        )
