"""The result of a detection: verdicts, reasons and scores."""

import copy

import numpy as np

from keras_byorn.audit import Audit
from keras_byorn.audit.row import AuditRow, is_suspect
from keras_byorn.data.examples import Examples
from keras_byorn.data.shown import listed
from keras_byorn.detection import detection_files
from keras_byorn.detection.clusters import find_clusters, proposals_of
from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.detection_checks import (
    check_columns,
    has_other_tokens,
    named_examples,
)
from keras_byorn.detection.reports import announce, summary_line
from keras_byorn.detection.verdicts import (
    ON_PROBATION,
    REVIEWER,
    SUSPECT,
    TRUSTED,
    completed,
    with_dropped,
)


class Detection:
    """Verdicts on the examples of a data set, and the reasons for them.

    Made by `keras_byorn.detect`, `Detector.detect` or `Detector.decide`.

    Attributes:
        example_ids: list of N strings.
        prompts, responses: lists of N strings.
        plausibility: float32 array, `(N,)`, in the unit of the scorer. Low is
            implausible.
        suspect_probability: float32 array, `(N,)`, in [0, 1]: the weight that
            an original response does not have in training. 1 on probation.
        verdicts: array of N strings: `"kept"`, `"on_probation"` (held out
            until a student vouches for it), `"suspect"` or `"trusted"`.
        reasons: list of N strings. Why an example is held out; empty where it
            is not.
        evidence: list of N tuples of strings. The kinds of evidence that spoke
            against an example: `"likelihood"`, `"same words"`,
            `"same prompt"`, `"same form"`, `"reviewer"`.
        clusters: list of `Cluster`: what is held out, by what it shares.
        cluster: int array, `(N,)`. The number of an example's cluster, 0 where
            it is not held out.
        groups: list of N strings. The examples that each was compared with.
        cuts: float32 array, `(N,)`. The cut that applied to each example, in
            the unit of the plausibility; NaN where there was none.
        scores: dict from the name of a scorer to a float32 array, `(N,)`.
        token_scores: `TokenScores` of arrays, `(N, T)`, nats.
        detector: the `Detector`, its scorer fitted.
        reason: string. Why so many are suspect, and not more or fewer.
        settings: dict of texts and numbers: scorer, decision, seed and others.

    Example:

    >>> detection = keras_byorn.detect(examples, vlm)
    >>> detection.audit().to_html("report.html")
    >>> print(*detection.clusters, sep="\\n")
    >>> detection.trust(cluster=2)  # "these are ours"
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
        detector,
        reason="",
        settings=None,
        evidence=None,
        shares=None,
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
        self.detector = detector
        self.reason = reason
        self.settings = dict(settings or {})
        count = len(self.example_ids)
        self.evidence = [tuple(kinds) for kinds in evidence or [()] * count]
        self.shares = shares and list(shares)
        self._examples = None
        self._pieces = None
        check_columns(self)
        self._find_clusters()

    @property
    def scorer(self):
        """The fitted scorer."""
        return self.detector.scorer

    @property
    def allows_review(self):
        """bool. Whether a student may judge again."""
        return self.detector.allows_review

    @property
    def trusted_ids(self):
        """list of strings. The ids of the examples that are vouched for."""
        return [self.example_ids[i] for i in np.flatnonzero(self.trusted)]

    @property
    def trusted(self):
        """bool array, `(N,)`. Examples that are vouched for."""
        return self.verdicts == TRUSTED

    @property
    def dropped(self):
        """bool array, `(N,)`. Suspects for good, by the word of a reviewer."""
        return np.array([REVIEWER in kinds for kinds in self.evidence], bool)

    @property
    def held_out(self):
        """bool array, `(N,)`. Suspect or on probation."""
        return (self.verdicts == SUSPECT) | (self.verdicts == ON_PROBATION)

    @property
    def suspects(self):
        """bool array, `(N,)`. Examples that there is evidence against."""
        return self.verdicts == SUSPECT

    def with_examples(self, prepared):
        """Returns this detection with its images and tokens at hand.

        Args:
            prepared: a `PreparedExamples` that was scored.
        """
        other = copy.copy(self)
        other._examples = prepared.examples
        if not has_other_tokens(self, prepared).any():
            other._pieces = prepared.response_pieces
        return other

    def rows(self):
        """Returns an iterator over an `AuditRow` for each example."""
        held_out = is_suspect(self.suspect_probability)
        return (
            AuditRow(
                example_id=self.example_ids[index],
                prompt=self.prompts[index],
                original_response=self.responses[index],
                current_response=None
                if held_out[index]
                else self.responses[index],
                origin="excluded" if held_out[index] else "original",
                plausibility=float(self.plausibility[index]),
                suspect_probability=float(self.suspect_probability[index]),
                verdict=str(self.verdicts[index]),
            )
            for index in range(len(self))
        )

    def trust(self, ids=None, cluster=None):
        """Vouches for examples, and decides again.

        Trusted examples are never held out, and make their style or prompt
        known, see `HoldOut`. What was dropped is taken back. Nothing is
        scored again.

        Args:
            ids: optional trusted examples, as `keras_byorn.detect` takes them.
            cluster: optional int, the number of one of `clusters`, all of
                whose examples are trusted. The clusters are numbered anew.

        Returns:
            The detection itself.

        Raises:
            ValueError: if neither or both are given, or if an id or a cluster
                is not known.
        """
        if (ids is None) == (cluster is None):
            raise ValueError(
                "`trust` takes either `ids=` or `cluster=`, the number of a "
                "cluster. Received: "
                f"{'neither' if ids is None else 'both'}"
            )
        if cluster is not None:
            ids = self._ids_of(cluster)
        trusted = named_examples(self, ids)
        dropped = self.dropped & ~trusted
        return self._decide_again(self.trusted | trusted, dropped)

    def drop(self, ids):
        """Holds examples out for good, and decides again.

        No student restores them, and nothing is trained on in their place.
        They are a cluster of their own. `trust` takes it back.

        Args:
            ids: examples, named in one of the ways of `trust`.

        Returns:
            The detection itself.
        """
        dropped = named_examples(self, ids)
        trusted = self.trusted & ~dropped
        return self._decide_again(trusted, self.dropped | dropped)

    @property
    def proposals(self):
        """object array, `(N,)`. What the cluster of each proposes, or `""`."""
        return proposals_of(self.clusters, self.cluster)

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
            **self.audit_columns(),
        )

    def audit_columns(self):
        """Returns what is behind each verdict, as `Audit` takes it."""
        return {
            "token_scores": self._scores_of_tokens(),
            "scores": self.scores,
            "groups": self.groups,
            "cuts": self.cuts,
            "reasons": self.reasons,
            "evidence": self.evidence,
            "clusters": self.clusters,
            "cluster": self.cluster,
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

    def __len__(self):
        return len(self.example_ids)

    def __repr__(self):
        return f"<Detection: {summary_line(self)}>"

    def _repr_html_(self):
        return self.audit()._repr_html_() if self._examples else None

    def _decide_again(self, trusted, dropped):
        scores = DatasetScores(
            self.token_scores, self.prompts, self.responses, self.example_ids
        )
        scores.trusted = trusted
        flags = self.detector.flag(self.plausibility, scores)
        self._decide_by(with_dropped(completed(flags, trusted), dropped))
        if self.detector.verbose:
            announce(self)
        return self

    def _decide_by(self, flags):
        self.suspect_probability = flags.suspect_probability
        self.verdicts = flags.verdicts
        self.reasons = list(flags.reasons)
        self.evidence = [tuple(kinds) for kinds in flags.evidence]
        self.shares = flags.shares and list(flags.shares)
        self.groups = [str(group) for group in flags.groups]
        self.cuts = np.asarray(flags.cuts, "float32")
        self.reason = flags.reason
        self._find_clusters()

    def _find_clusters(self):
        self.clusters, self.cluster = find_clusters(
            self.example_ids,
            self.responses,
            self.verdicts,
            self.shares,
            self.dropped,
        )

    def _ids_of(self, cluster):
        numbers = [known.number for known in self.clusters]
        if cluster not in numbers:
            raise ValueError(
                "`cluster` must be the number of one of the clusters: "
                f"{numbers or 'there is none'}. Received: cluster={cluster!r}"
            )
        found = np.flatnonzero(self.cluster == cluster)
        return [self.example_ids[index] for index in found]

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
        lost = [i for i in self.example_ids if i not in known]
        if lost:
            raise ValueError(
                "`examples` must hold every example that was judged. Pass "
                "those that the detection was made of. Received: "
                f"{len(examples)} examples, without {len(lost)}: {listed(lost)}"
            )
        return examples

    def _scores_of_tokens(self):
        if self._pieces is None:
            return None
        return {
            example_id: (self._pieces(index), self.scores_of(index)[0])
            for index, example_id in enumerate(self.example_ids)
        }
