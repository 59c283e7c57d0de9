"""The current target of each example, and the reason for it."""

import collections

import numpy as np

from keras_byorn.audit.row import AuditRow, is_suspect
from keras_byorn.data.validation import named, repeated
from keras_byorn.detection.verdicts import (
    KEPT,
    ON_PROBATION,
    SUSPECT,
    TRUSTED,
)
from keras_byorn.training import target_files
from keras_byorn.training.store_checks import (
    NEGLIGIBLE_WEIGHT,
    checked_column,
    checked_probability,
)

# The source of the current target of an example.
ORIGINAL, REGENERATED, EXCLUDED = "original", "regenerated", "excluded"
MIXED = "mixed"  # both the original and a replacement, each with its weight
MASKED = "masked"  # the original, with the tokens of a span out of the loss

# Verdicts of a review, beside those of a detection.
RESTORED, FLAGGED_LATE, ALARM = "restored", "flagged late", "alarm"
REVIEWED = (ON_PROBATION, SUSPECT, TRUSTED, RESTORED, FLAGGED_LATE, ALARM)
# Those with which an original response is trained on.
TRAINED = (RESTORED, TRUSTED)
# Those with which a mask stays.
UNCHANGED = (ON_PROBATION, SUSPECT)


class TargetStore:
    """Holds the target of every example: the original, a replacement, or none.

    Args:
        example_ids: list of N unique strings.
        prompts: list of N strings.
        responses: list of N strings, the original responses.
        digests: optional list of N strings, those of `PreparedExamples`.

    Example:

    >>> store = TargetStore(["a", "b"], ["q", "q"], ["right", "wrong"])
    >>> store.set_scores([-0.1, -7.0], [0.0, 1.0])
    >>> store["b"].origin
    'excluded'
    >>> store.replace("b", "mended", [17, 4])
    >>> store["b"].current_response
    'mended'
    """

    def __init__(self, example_ids, prompts, responses, digests=None):
        self.example_ids = list(example_ids)
        self.digests = digests and list(digests)
        self._prompts = list(prompts)
        self._originals = list(responses)
        self._index = {i: n for n, i in enumerate(self.example_ids)}
        count = len(self.example_ids)
        twice = repeated(self.example_ids)
        if twice.any() or not count == len(prompts) == len(responses):
            raise ValueError(
                "`example_ids` must be unique, and `prompts` and `responses` "
                f"as many. Received: {count} ids, {len(prompts)} prompts, "
                f"{len(responses)} responses; repeatedly: "
                f"{named(self.example_ids, twice) or '-'}"
            )
        self.plausibility = np.full(count, np.nan, "float32")
        self.suspect_probability = np.zeros(count, "float32")
        self.student_plausibility = np.full(count, np.nan, "float32")
        self.verdicts = np.full(count, KEPT, object)
        self._revisions = np.zeros(count, "int32")
        self._replacements = {}  # position -> (response, token ids, writer)
        self._masks = {}  # position -> (masked tokens, the rest's text)
        self.revision = 0

    def __len__(self):
        return len(self.example_ids)

    def __repr__(self):
        origins = collections.Counter(row.origin for row in self.rows())
        counts = ", ".join(f"{n:,} {origin}" for origin, n in origins.items())
        return f"<TargetStore: {len(self):,} targets ({counts})>"

    def __getitem__(self, example_id):
        return self._row(self._index[example_id])

    def rows(self):
        """Returns an iterator over an `AuditRow` for each example."""
        return (self._row(index) for index in range(len(self)))

    @property
    def prompts(self):
        """list of N strings."""
        return list(self._prompts)

    @property
    def original_responses(self):
        """list of N strings."""
        return list(self._originals)

    @property
    def is_scored(self):
        """bool. Whether scores were set."""
        return self.revision > 0

    @property
    def suspects(self):
        """bool array, `(N,)`. More likely suspect than not."""
        return is_suspect(self.suspect_probability)

    @property
    def masked(self):
        """bool array, `(N,)`. Suspects that are trained on but for a span."""
        masked = np.zeros(len(self), bool)
        masked[list(self._masks)] = True
        return masked

    @property
    def replaced(self):
        """list of ints. Positions that have a replacement now."""
        return list(self._replacements)

    @property
    def num_regenerated(self):
        """int. How many suspects have a replacement now."""
        return int(self.suspects[self.replaced].sum())

    @property
    def max_training_rows(self):
        """int. The most rows that `training_rows` can have, all replaced."""
        probability = self.suspect_probability
        kept = np.sum(1 - probability > NEGLIGIBLE_WEIGHT)
        return int(kept + np.sum(probability > NEGLIGIBLE_WEIGHT))

    def set_scores(self, plausibility, suspect_probability, verdicts=None):
        """Sets all scores, once the originals were judged.

        Args:
            plausibility: float array, `(N,)`, in the unit of the scorer; NaN
                where it is not known.
            suspect_probability: float array, `(N,)`, in [0, 1].
            verdicts: optional array of N strings, those of a `Detection`.
                Defaults to `"suspect"` where the probability is at least one
                half, and `"kept"` elsewhere.

        Masks that were found with earlier scores are dropped.

        Raises:
            ValueError: if a shape or a probability is wrong, or if every
                example is suspect, for then nothing is left to learn from.
        """
        self.plausibility = checked_column(
            "plausibility", plausibility, len(self)
        )
        self.suspect_probability = checked_probability(
            suspect_probability, self.example_ids
        )
        if verdicts is None:
            verdicts = np.where(self.suspects, SUSPECT, KEPT)
        self.verdicts = np.array(verdicts, object)
        self._masks.clear()
        self._revisions += 1
        self.revision += 1

    def review(self, verdicts, student_plausibility):
        """Changes the verdicts on some examples, after a review.

        Args:
            verdicts: dict from position to `"restored"`, `"trusted"`,
                `"flagged late"`, `"alarm"`, `"suspect"` or `"on_probation"`.
                A restored or trusted example is trained on as it came; all
                others of these are held out. A mask stays with the last two:
                it is lifted where the example is restored, and otherwise the
                whole response is held out.
            student_plausibility: float array, `(N,)`, nats per token; NaN
                where the student did not look.

        Raises:
            ValueError: if a verdict is none of these, or if every example is
                suspect.
        """
        unknown = set(verdicts.values()) - set(REVIEWED)
        if unknown:
            raise ValueError(
                f"`verdicts` must be among {', '.join(REVIEWED)}. "
                f"Received: {sorted(unknown)}"
            )
        looked_at = checked_column(
            "student_plausibility", student_plausibility, len(self)
        )
        probability = self.suspect_probability.copy()
        for index, verdict in verdicts.items():
            if verdict in TRAINED:
                probability[index] = 0.0
            elif not is_suspect(probability[index]):
                probability[index] = 1.0  # a soft suspect stays as soft
        self.suspect_probability = checked_probability(
            probability, self.example_ids
        )
        for index, verdict in verdicts.items():
            if verdict not in UNCHANGED:
                self._masks.pop(index, None)
            if self.verdicts[index] != verdict:
                self.verdicts[index] = verdict
                self._revisions[index] += 1
                self.revision += 1
        self.student_plausibility = np.where(
            np.isnan(looked_at), self.student_plausibility, looked_at
        )

    def replace(self, example_id, response, token_ids, written_by=None):
        """Puts a response that the model wrote beside the original one.

        Args:
            example_id: string.
            response: string.
            token_ids: the response's ids, as generated, without end token.
            written_by: optional string. Its writer and the time, for the audit.
        """
        index = self._index[example_id]
        ids = tuple(int(i) for i in token_ids)
        self._replacements[index] = (response, ids, written_by)
        self._masks.pop(index, None)
        self._revisions[index] += 1
        self.revision += 1

    def mask(self, example_id, tokens, response):
        """Trains on a suspect's original response, but for a span of it.

        Args:
            example_id: string.
            tokens: sequence of ints. The tokens of the original response that
                are the span, counted from 0.
            response: string. The rest, without them.

        Raises:
            ValueError: if the example is no suspect, if no token is masked,
                or if nothing remains.
        """
        index = self._index[example_id]
        tokens = tuple(sorted({int(token) for token in tokens}))
        if not self.suspects[index]:
            raise ValueError(
                "`example_id` must be that of a suspect, for the others are "
                "trained on as they are. Set the scores first. Received: "
                f"{example_id!r}, suspect probability "
                f"{self.suspect_probability[index]:g}"
            )
        if not tokens or tokens[0] < 0 or not response:
            raise ValueError(
                "`tokens` must be positions in the response, one at least, "
                "and `response` the rest. Replace a response that is "
                f"implausible as a whole. Received: tokens={tokens}, "
                f"response={response!r}"
            )
        self._replacements.pop(index, None)
        self._masks[index] = tokens, response
        self._revisions[index] += 1
        self.revision += 1

    def leave_out(self, indices):
        """Holds examples out whole, without a replacement or a mask.

        Args:
            indices: sequence of ints, positions.

        Raises:
            ValueError: if every example is suspect then.
        """
        verdicts = dict.fromkeys(map(int, indices), SUSPECT)
        self.review(verdicts, self.student_plausibility)
        self.suspect_probability[list(verdicts)] = 1.0
        for index in verdicts:
            self._replacements.pop(index, None)
            self._masks.pop(index, None)
            self._revisions[index] += 1
            self.revision += 1

    def training_rows(self):
        """Returns the rows that an epoch trains on.

        An example that is suspect with probability P is up to two rows: the
        original with weight 1 - P, the replacement, where there is one, with
        weight P. Rows of negligible weight are left out. A masked example is
        its original, with weight 1.

        Returns:
            A tuple of arrays, `(R,)` each: position of the example (int),
            whether it is the replacement (bool), weight (float32).
        """
        # Of a masked example nothing suspect is left in the loss.
        probability = np.where(self.masked, 0, self.suspect_probability)
        probability = probability.astype("float32")
        replaced = np.zeros(len(self), bool)
        replaced[self.replaced] = True
        kept = np.flatnonzero(1 - probability > NEGLIGIBLE_WEIGHT)
        new = np.flatnonzero(replaced & (probability > NEGLIGIBLE_WEIGHT))
        return (
            np.concatenate([kept, new]),
            np.concatenate(
                [np.zeros(len(kept), bool), np.ones(len(new), bool)]
            ),
            np.concatenate([1 - probability[kept], probability[new]]),
        )

    def replacement_ids(self, index):
        """Returns the token ids of the replacement at a position."""
        return np.asarray(self._replacements[index][1], "int32")

    def masked_tokens(self, index):
        """Returns the span of an example; empty if it has no mask."""
        return self._masks.get(index, ((), None))[0]

    def to_table(self):
        """Returns all rows as a `pyarrow.Table`, one column for each field."""
        return target_files.table_of(self.rows())

    def save(self, path):
        """Writes a Parquet file, whole or not at all, and returns its path."""
        return target_files.save(self.rows(), path)

    @classmethod
    def load(cls, path):
        """Reads a store that `save` wrote, to go on from there.

        Raises:
            FileNotFoundError: if there is no file.
            ValueError: if it is damaged, or if a value has no meaning.
        """
        rows = target_files.load(path, REVIEWED)
        names = "example_id", "prompt", "original_response", "digest"
        columns = [[row[name] for row in rows] for name in names]
        if None in columns[-1]:
            columns.pop()  # of a store that was made by hand
        store = cls(*columns)
        for index, row in enumerate(rows):
            store.plausibility[index] = row["plausibility"]
            store.suspect_probability[index] = row["suspect_probability"]
            store.verdicts[index] = row["verdict"]
            store.student_plausibility[index] = row["student_plausibility"]
            store._revisions[index] = row["revision"]
            if row["replacement_ids"] is not None:
                store._replacements[index] = (
                    row["replacement"],
                    tuple(row["replacement_ids"]),
                    row["written_by"],
                )
            if row["masked_tokens"] is not None:
                store._masks[index] = (
                    tuple(row["masked_tokens"]),
                    row["current_response"],
                )
        store.revision = int(store._revisions.sum())
        return store

    def _row(self, index):
        origin, current = self._target(index)
        response, ids, writer = self._replacements.get(index, (None,) * 3)
        return AuditRow(
            example_id=self.example_ids[index],
            prompt=self._prompts[index],
            original_response=self._originals[index],
            current_response=current,
            origin=origin,
            plausibility=float(self.plausibility[index]),
            suspect_probability=float(self.suspect_probability[index]),
            verdict=str(self.verdicts[index]),
            student_plausibility=float(self.student_plausibility[index]),
            revision=int(self._revisions[index]),
            replacement=response,
            replacement_ids=ids,
            written_by=writer,
            masked_tokens=self.masked_tokens(index) or None,
            digest=self.digests and self.digests[index],
        )

    def _target(self, index):
        """Origin and text of the current target of an example."""
        if index in self._masks:
            return MASKED, self._masks[index][1]
        probability = self.suspect_probability[index]
        original = 1 - probability > NEGLIGIBLE_WEIGHT
        replaced = index in self._replacements
        replaced &= bool(probability > NEGLIGIBLE_WEIGHT)
        if not (original or replaced):
            return EXCLUDED, None
        texts = self._originals[index], self._replacements.get(index, [None])[0]
        if original and replaced:
            return MIXED, texts[int(is_suspect(probability))]
        return (ORIGINAL, texts[0]) if original else (REGENERATED, texts[1])
