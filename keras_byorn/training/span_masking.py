"""Masks for the spans that make suspects implausible, where that is enough."""

import numpy as np

from keras_byorn.detection.copies import shared_by_suspects
from keras_byorn.detection.scorers.scorer import in_blocks
from keras_byorn.detection.spans import find_spans, rest_of, token_cut
from keras_byorn.detection.token_scores import TokenScores


class SpanMasking:
    """Finds the suspects that are plausible but for a span, and masks it.

    The rest is judged as the whole was: by the same scorer, and the cut of the
    example's own group. Only suspects cost a pass, in batches of the shape of
    the first one, so that nothing is compiled anew.

    Args:
        detection: the `Detection`, of a scorer that works in a training step.
        reference: a `FrozenReference`.
        batches: a scored `TargetBatches`.
        batch_size: optional int.
    """

    def __init__(self, detection, reference, batches, batch_size=None):
        self._detection = detection
        self._reference = reference
        self._batches = batches
        self._batch_size = batch_size

    def __call__(self, searched):
        """Masks the spans that are found, in the store.

        Args:
            searched: bool array, `(N,)`. The suspects to search.
        """
        store, prepared = self._batches.store, self._batches.prepared
        copies = shared_by_suspects(prepared.responses, store.suspects)
        searched = np.flatnonzero(searched & ~copies)
        if not len(searched):
            return
        responses = {int(i): prepared.response_ids[i] for i in searched}
        spans = find_spans(
            responses,
            {i: self._regrets(i) for i in responses},
            token_cut(self._kept_regrets()),
            self._score_rests,
        )
        task = prepared.task
        for index, span in spans.items():
            rest = task.detokenize(rest_of(responses[index], span)).strip()
            if rest:
                store.mask(store.example_ids[index], span, rest)

    def _regrets(self, index):
        """Distances of a response's tokens to the likeliest ones, nats."""
        log_likelihoods, maxima = self._detection.scores_of(index)
        return log_likelihoods - maxima

    def _kept_regrets(self):
        kept = np.flatnonzero(~self._batches.store.suspects)
        return np.concatenate([self._regrets(index) for index in kept])

    def _score_rests(self, rests):
        """Regrets of the rests, and whether they are plausible, by position."""
        indices = np.array(list(rests))
        responses = self._batches.prepared.with_responses(
            indices, list(rests.values()), self._batch_size
        )
        found = self._reference.score(responses, verbose=0)
        mask = responses.response_mask
        found = TokenScores(*(c[: len(mask)] for c in found[:2]), mask)
        scores = in_blocks(
            lambda *columns: self._detection.scorer(TokenScores(*columns)),
            *found,
        )
        regrets = found.log_likelihoods - found.max_log_likelihoods
        return (
            {i: own[m] for i, own, m in zip(rests, regrets, mask)},
            dict(zip(rests, scores >= self._detection.cuts[indices])),
        )
