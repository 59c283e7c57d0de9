"""What scorers may ask of a data set, each thing computed once."""

import numpy as np

from keras_byorn.detection.token_scores import TokenEvidence


class Evidence:
    """A data set in the eyes of the frozen reference.

    Nothing is computed before a scorer asks for it. A view of the examples
    costs one pass of the reference over them, samples cost a generation. With
    `kept`, a pass is only over what no earlier run has seen.

    Args:
        reference: a `FrozenReference`.
        batches: a `TargetBatches`, which reads the examples.
        batch_size: optional int. Defaults to that of the batches.
        verbose: 0 or 1. Whether to show progress bars.
        sample: optional callable from a number and a seed to a list of N
            lists of as many strings, responses that the reference samples.
        kept: optional `KeptEvidence`, of the same reference and batches.

    Attributes:
        example_ids, prompts, responses: lists of N strings.
        response_mask: bool array, `(N, T)`.
        log_likelihoods, preferred: float32 arrays, `(N, T)`, nats; those of
            the examples as they are. See `TokenEvidence`.
    """

    def __init__(
        self,
        reference,
        batches,
        batch_size=None,
        verbose=0,
        sample=None,
        kept=None,
    ):
        self._reference = reference
        self._batches = batches
        self._batch_size = batch_size
        self._verbose = verbose
        self._sample = sample
        self._kept = kept
        self._views = {}
        self._samples = {}
        self.example_ids = batches.examples.example_ids
        self.response_mask = batches.response_mask

    def __len__(self):
        return len(self.example_ids)

    @property
    def prompts(self):
        return self._batches.store.prompts

    @property
    def responses(self):
        return self._batches.store.original_responses

    @property
    def log_likelihoods(self):
        return self.under(None).log_likelihoods

    @property
    def preferred(self):
        return self.under(None).preferred

    def under(self, view):
        """The same examples under a `View`; `None` for as they are.

        Returns:
            A `TokenEvidence` of arrays, `(N, T)`. Response tokens stand at
            the positions of `response_mask`, wherever the view put them.
        """
        key = repr(view)
        if key not in self._views:
            self._views[key] = self._look(view)
        return self._views[key]

    def samples(self, count, seed=0):
        """Responses that the reference itself samples.

        Args:
            count: int. How many for each example.
            seed: int.

        Returns:
            A list of N lists of `count` strings; an empty string where none
            ended.
        """
        if self._sample is None:
            raise ValueError(
                "`sample` must be given where a scorer asks for samples: use "
                "it through `BYORnCallback(scorer=...)`, which brings it. "
                "Received: sample=None"
            )
        if (count, seed) not in self._samples:
            self._samples[count, seed] = self._sample(count, seed)
        return self._samples[count, seed]

    def _look(self, view):
        mask = self.response_mask
        columns = np.zeros((2, *mask.shape), "float32")
        known = self._kept.read(view) if self._kept else {}
        for index, values in known.items():
            columns[:, index, mask[index]] = values
        unknown = np.setdiff1d(np.arange(len(self)), list(known))
        self._tell(len(unknown), len(known), view)
        if len(unknown):
            columns[:, unknown] = self._pass(view, unknown)
            if self._kept:
                found = {int(i): columns[:, i, mask[i]] for i in unknown}
                self._kept.add(view, found)
        return TokenEvidence(*columns, mask)

    def _pass(self, view, indices):
        """What the reference says of these examples, `(2, n, T)`."""
        originals = self._batches.originals(self._batch_size, view, indices)
        found = self._reference.evidence(originals, self._verbose)
        mask = self.response_mask[indices]
        columns = np.zeros((2, *mask.shape), "float32")
        for column, values in zip(
            columns, (found.log_likelihoods, found.preferred)
        ):
            # A view may have moved the response, but never changed it.
            column[mask] = values[: len(indices)][originals.response_mask]
        return columns

    def _tell(self, num_scored, num_known, view):
        if self._verbose:
            under = "" if view is None else f" under {view}"
            known = f", {num_known} known" if self._kept else ""
            print(f"Scoring {num_scored} responses{under}{known}")
