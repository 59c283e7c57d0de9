"""Masks the spans that make suspects implausible, where that is enough."""

import numpy as np
from keras import ops

from keras_byorn.detection.copies import said_by_many
from keras_byorn.detection.token_scores import TokenEvidence
from keras_byorn.detection.spans import find_spans, rest_of, token_cut


class SpanMasking:
    """Finds the suspects that are plausible but for a span, and masks it.

    What remains is judged as the whole was: by the same scorer, and the cut
    of the example's own group. Only suspects cost a pass, in batches of the
    shape of the first look, so that nothing is compiled anew.

    Args:
        evidence: the `Evidence` of the first look.
        scorer: the scorer that judged it, one that works in a training step.
        cuts: float array, `(N,)`, the cut that applies to each example.
        reference: a `FrozenReference`.
        batches: a scored `TargetBatches`.
        batch_size: int.
    """

    def __init__(self, evidence, scorer, cuts, reference, batches, batch_size):
        self._evidence = evidence
        self._scorer = scorer
        self._cuts = cuts
        self._reference = reference
        self._batches = batches
        self._batch_size = batch_size

    def __call__(self):
        """Masks in the store what is found."""
        store, task = self._batches.store, self._batches.task
        mask = self._evidence.response_mask
        regrets = self._evidence.log_likelihoods - self._evidence.preferred
        copies = said_by_many(store.original_responses, store.suspects)
        searched = np.flatnonzero(store.suspects & ~copies)
        kept = ~store.suspects
        responses = {int(i): self._batches.response_ids[i] for i in searched}
        spans = find_spans(
            responses,
            {i: regrets[i][mask[i]] for i in responses},
            token_cut(regrets[kept], mask[kept]),
            self._look,
        )
        for index, span in spans.items():
            rest = task.detokenize(rest_of(responses[index], span)).strip()
            if rest:
                store.mask(store.example_ids[index], span, rest)

    def _look(self, rests):
        """Regrets of what remains, and whether it is plausible, by position."""
        indices = np.array(list(rests))
        responses = self._batches.with_responses(
            indices, list(rests.values()), self._batch_size
        )
        found = self._reference.evidence(responses, verbose=0)
        mask = responses.response_mask
        found = TokenEvidence(
            found.log_likelihoods[: len(mask)],
            found.preferred[: len(mask)],
            mask,
        )
        scores = ops.convert_to_numpy(self._scorer(found))
        regrets = found.log_likelihoods - found.preferred
        return (
            {i: own[m] for i, own, m in zip(rests, regrets, mask)},
            dict(zip(rests, scores >= self._cuts[indices])),
        )
