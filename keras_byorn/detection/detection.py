"""The result of a detection: verdicts, reasons and scores."""

import copy
import itertools

import numpy as np

from keras_byorn.audit import Audit
from keras_byorn.audit.row import AuditRow, is_suspect
from keras_byorn.data.examples import Examples
from keras_byorn.data.validation import named, shortened
from keras_byorn.detection import detection_files
from keras_byorn.detection.reports import summary_line

KEPT, ON_PROBATION = "kept", "on_probation"
SUSPECT, TRUSTED = "suspect", "trusted"
VERDICTS = (KEPT, ON_PROBATION, SUSPECT, TRUSTED)


class Detection:
    """Verdicts on the examples of a data set, and the reasons for them.

    Made by `keras_byorn.detect`, `Detector.detect` or `Detector.decide`.

    Attributes:
        example_ids: list of N strings.
        prompts, responses: lists of N strings.
        plausibility: float32 array, `(N,)`, in the unit of the scorer. Low is
            implausible.
        suspect_probability: float32 array, `(N,)`, in [0, 1].
        verdicts: array of N strings: `"kept"`, `"on_probation"` (held out
            until a student vouches for it), `"suspect"` or `"trusted"`.
        reasons: list of N strings. Why an example is suspect; empty where it
            is not.
        groups: list of N strings. The examples that each was compared with.
        cuts: float32 array, `(N,)`. The cut that applied to each example, in
            the unit of the plausibility; NaN where there was none.
        scores: dict from the name of a scorer to a float32 array, `(N,)`.
        token_scores: `TokenScores` of arrays, `(N, T)`, nats.
        scorer: the fitted scorer.
        allows_review: bool. Whether a student may judge again.
        reason: string. Why so many are suspect, and not more or fewer.
        settings: dict of texts and numbers: scorer, decision, seed and others.

    Example:

    >>> detection = keras_byorn.detect(examples, vlm)
    >>> detection.audit().to_html("report.html")
    >>> detection.save("detection")
    >>> detection = keras_byorn.Detection.load("detection", examples)
    >>> model.fit(batches, callbacks=[keras_byorn.BYORnCallback(detection)])
    """

    def __init__(
        self,
        example_ids,
        prompts,
        responses,
        plausibility,
        suspect_probability,
        verdicts,
        reasons,
        groups,
        cuts,
        scores,
        token_scores,
        scorer,
        allows_review=True,
        reason="",
        settings=None,
    ):
        self.example_ids = list(example_ids)
        self.prompts = list(prompts)
        self.responses = list(responses)
        self.plausibility = np.asarray(plausibility, "float32")
        self.suspect_probability = np.asarray(suspect_probability, "float32")
        self.verdicts = np.asarray(verdicts, object)
        self.reasons = list(reasons)
        self.groups = [str(group) for group in groups]
        self.cuts = np.asarray(cuts, "float32")
        self.scores = dict(scores)
        self.token_scores = token_scores
        self.scorer = scorer
        self.allows_review = allows_review
        self.reason = reason
        self.settings = dict(settings or {})
        self._examples = None
        self._pieces = None
        self._check()

    @property
    def suspects(self):
        """bool array, `(N,)`. More likely suspect than not."""
        return is_suspect(self.suspect_probability)

    def with_examples(self, prepared):
        """Returns this detection with its images and tokens at hand.

        Args:
            prepared: a `PreparedExamples` that was scored.
        """
        other = copy.copy(self)
        other._examples = prepared.examples
        if not self._other_tokens(prepared).any():
            other._pieces = prepared.response_pieces
        return other

    def rows(self):
        """Returns an iterator over an `AuditRow` for each example."""
        suspects = self.suspects
        return (
            AuditRow(
                example_id=self.example_ids[index],
                prompt=self.prompts[index],
                original_response=self.responses[index],
                current_response=None
                if suspects[index]
                else self.responses[index],
                origin="excluded" if suspects[index] else "original",
                plausibility=float(self.plausibility[index]),
                suspect_probability=float(self.suspect_probability[index]),
                verdict=str(self.verdicts[index]),
            )
            for index in range(len(self))
        )

    def audit(self, examples=None):
        """Accounts for the detection, without any training.

        Args:
            examples: optional `Examples`, to show images. Defaults to those
                that were scored or given to `load`.

        Returns:
            An `Audit`.

        Raises:
            ValueError: if no examples are known, or if they are others.
        """
        return Audit(
            self,
            self._known_examples(examples),
            notes={**self.settings, "reason": self.reason},
            **self.evidence(),
        )

    def evidence(self):
        """Returns the scores behind each verdict, as `Audit` takes them."""
        return {
            "token_scores": self._scores_of_tokens(),
            "scores": self.scores,
            "groups": self.groups,
            "cuts": self.cuts,
            "reasons": self.reasons,
        }

    def tokens(self, index):
        """Returns the pieces of a response, or `None` if they are not known.

        Args:
            index: int. Position of the example.
        """
        return self._pieces and self._pieces(index)

    def scores_of(self, index):
        """Returns the token scores of one response.

        Args:
            index: int. Position of the example.

        Returns:
            A pair of float32 arrays, `(R,)`, nats: log-likelihoods of its
            tokens, the end token included, and of the likeliest tokens there;
            the second is `None` where it is not known.
        """
        mask = self.token_scores.response_mask[index]
        columns = self.token_scores[:2]
        return tuple(c if c is None else c[index][mask] for c in columns)

    def save(self, folder):
        """Writes the detection to a folder, as Parquet and JSON.

        Each file is written whole or not at all, and has a checksum.

        Args:
            folder: string or path. An older detection there is replaced.

        Returns:
            The folder, a string.
        """
        return detection_files.save(self, folder)

    @classmethod
    def load(cls, folder, examples=None):
        """Reads a detection that `save` wrote.

        Args:
            folder: string or path.
            examples: optional `Examples`, or what `Examples(...)` takes, to
                show images in an audit.

        Returns:
            A `Detection`.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged, or if `examples` lack an id of it.
        """
        columns, pieces = detection_files.load(folder)
        detection = cls(**columns)
        detection._pieces = pieces
        if examples is not None:
            detection._examples = detection._known_examples(examples)
        return detection

    def check_examples(self, prepared):
        """Refuses examples that this detection did not judge.

        Args:
            prepared: a `PreparedExamples`.

        Raises:
            ValueError: if ids, prompts or responses are others.
        """
        ids = self.example_ids, prepared.example_ids
        if ids[0] != ids[1]:
            pairs = list(itertools.zip_longest(*ids))
            judged, given = next(pair for pair in pairs if len(set(pair)) > 1)
            raise ValueError(
                "`detection` must be of the examples in training, in their "
                "order. Detect again, or train on the examples that were "
                f"judged. Received: a detection of {len(self):,} examples for "
                f"{len(prepared):,} examples, first {shortened(judged)} for "
                f"{shortened(given)}"
            )
        judged = zip(self.prompts, self.responses)
        given = zip(prepared.prompts, prepared.responses)
        changed = np.array([a != b for a, b in zip(judged, given)])
        if changed.any():
            raise ValueError(
                "`detection` must be of the examples as they are: their texts "
                "changed since they were judged. Detect again. Received: "
                f"{changed.sum()} changed examples: {named(ids[0], changed)}"
            )

    def check_scores(self, plausibility):
        """Refuses a store that was scored otherwise.

        Args:
            plausibility: float32 array, `(N,)`, that of the store.

        Raises:
            ValueError: if it is not that of this detection.
        """
        differ = ~np.isclose(plausibility, self.plausibility, 0, 0, True)
        if differ.any():
            raise ValueError(
                "`detection` must be the one that the batches were scored by. "
                "Make new `TargetBatches` for another, or leave `detection` "
                "out to keep the verdicts of the store. Received: a store that "
                "has other scores, such as of "
                f"{named(self.example_ids, differ)}"
            )

    def check_tokens(self, prepared):
        """Refuses token scores that no span can be found from.

        Args:
            prepared: a `PreparedExamples`.

        Raises:
            ValueError: if the likeliest tokens are not known, or if responses
                have other tokens than for the task.
        """
        if self.token_scores.max_log_likelihoods is None:
            raise ValueError(
                "`suspects='mask'` needs `max_log_likelihoods`, to find the "
                "tokens that stand out. Pass `suspects='replace'`. Received: a "
                "detection with max_log_likelihoods=None"
            )
        differ = self._other_tokens(prepared)
        if differ.any():
            raise ValueError(
                "`suspects='mask'` needs a detection by the tokens of the task "
                "in training. Detect with this task, or pass "
                "`suspects='replace'`. Received: other numbers of tokens in "
                f"the responses of {named(self.example_ids, differ)}"
            )

    def __len__(self):
        return len(self.example_ids)

    def __repr__(self):
        return f"<Detection: {summary_line(self)}>"

    def _repr_html_(self):
        return self.audit()._repr_html_() if self._examples else None

    def _known_examples(self, examples):
        if examples is None:
            examples = self._examples
        if examples is None:
            raise ValueError(
                "`examples` must be given to show them: pass those that were "
                "judged, `detection.audit(examples)`. Received: None, for a "
                "detection from token scores or from a file"
            )
        if not isinstance(examples, Examples):
            examples = Examples(examples)
        known = set(examples.example_ids)
        unknown = [i for i in self.example_ids if i not in known]
        if unknown:
            raise ValueError(
                "`examples` must hold every example that was judged. Pass "
                "those that the detection was made of. Received: "
                f"{len(examples):,} examples, without {len(unknown):,} that "
                f"were judged, such as {unknown[:3]}"
            )
        return examples

    def _other_tokens(self, prepared):
        """bool array, `(N,)`. Whether a response has other tokens there."""
        counts = self.token_scores.response_mask.sum(axis=-1)
        return counts != prepared.response_mask.sum(axis=-1)

    def _scores_of_tokens(self):
        if self._pieces is None:
            return None
        return {
            example_id: (self._pieces(index), self.scores_of(index)[0])
            for index, example_id in enumerate(self.example_ids)
        }

    def _check(self):
        counts = {
            name: len(getattr(self, name))
            for name in (
                "prompts",
                "responses",
                "plausibility",
                "suspect_probability",
                "verdicts",
                "reasons",
                "groups",
                "cuts",
            )
        }
        if set(counts.values()) != {len(self)}:
            raise ValueError(
                "A detection must have one value for each example. Received: "
                f"{counts} for {len(self)} examples"
            )
        probability = self.suspect_probability
        wrong = ~((probability >= 0) & (probability <= 1))
        if wrong.any():
            raise ValueError(
                "`suspect_probability` must be in [0, 1]. Received: "
                f"{probability[wrong][0]} and the like, of "
                f"{named(self.example_ids, wrong)}"
            )
        unknown = set(self.verdicts) - set(VERDICTS)
        if unknown:
            raise ValueError(
                f"`verdicts` must be among {', '.join(VERDICTS)}. Received: "
                f"{sorted(map(str, unknown))}"
            )
