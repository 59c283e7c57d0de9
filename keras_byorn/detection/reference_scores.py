"""Scores of prepared examples, computed by the reference when asked for."""

import numpy as np

from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.response_writer import sampled_responses
from keras_byorn.detection.token_scores import TokenScores


class ReferenceScores(DatasetScores):
    """Scores of prepared examples under a frozen reference.

    Nothing is computed before a scorer asks for it. Each view of the examples
    costs one pass of the reference over them, samples cost a generation. With
    a cache, a pass covers only what no earlier run has scored.

    Args:
        reference: a `FrozenReference`.
        prepared: a `PreparedExamples`.
        batch_size: optional int. Defaults to that of the examples.
        verbose: 0 or 1. Whether to show progress bars.
        cache: optional `ScoreCache` of the same reference and examples.
    """

    def __init__(
        self, reference, prepared, batch_size=None, verbose=0, cache=None
    ):
        self._reference = reference
        self._prepared = prepared
        self._batch_size = batch_size
        self._verbose = verbose
        self._cache = cache
        self._mask = prepared.response_mask
        self._known = {}
        self.prompts = list(prepared.prompts)
        self.responses = list(prepared.responses)
        self.example_ids = list(prepared.example_ids)
        self._choose_nothing()

    @property
    def token_scores(self):
        return self.under(None)

    @property
    def response_mask(self):
        return self._mask

    def under(self, view):
        key = "view", repr(view)
        if key not in self._known:
            self._known[key] = self._score(view)
        return self._known[key]

    def samples(self, count, seed=0):
        key = "samples", count, seed
        if key not in self._known:
            with self._reference.writing() as task:
                self._known[key] = sampled_responses(
                    self._prepared,
                    count,
                    seed,
                    self._batch_size,
                    self._verbose,
                    task,
                )
        return self._known[key]

    def _score(self, view):
        mask = self._mask
        columns = np.zeros((2, *mask.shape), "float32")
        known = self._cache.read(view) if self._cache else {}
        for index, values in known.items():
            columns[:, index, mask[index]] = values
        unknown = np.setdiff1d(np.arange(len(self)), list(known))
        self._announce(len(unknown), len(known), view)
        if len(unknown):
            columns[:, unknown] = self._pass(view, unknown)
        return TokenScores(*columns, mask)

    def _pass(self, view, indices):
        """Runs the reference over some examples: array `(2, n, T)`."""
        batches = self._prepared.scoring_batches(
            self._batch_size, view, indices
        )
        places = batches.response_mask

        def keep(rows, found):
            columns = np.stack(found[:2], axis=1)
            self._cache.add(
                view,
                {
                    int(indices[row]): own[:, places[row]]
                    for row, own in zip(rows, columns)
                },
            )

        scores = self._reference.score(
            batches, self._verbose, keep if self._cache else None
        )
        mask = self._mask[indices]
        columns = np.zeros((2, *mask.shape), "float32")
        for column, values in zip(columns, scores[:2]):
            # A view may have moved the response, but never changed it.
            column[mask] = values[: len(indices)][places]
        return columns

    def _announce(self, num_scored, num_known, view):
        if self._verbose:
            under = "" if view is None else f" under {view}"
            known = f", {num_known:,} known" if self._cache else ""
            print(f"Scoring {num_scored:,} responses{under}{known}")
