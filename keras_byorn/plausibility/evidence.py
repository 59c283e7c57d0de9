"""What scorers may ask of a data set, each thing computed once."""

import numpy as np

from keras_byorn.plausibility.log_likelihoods import TokenEvidence


class Evidence:
    """A data set in the eyes of the frozen reference.

    Nothing is computed before a scorer asks for it. A view of the examples
    costs one pass of the reference over them, samples cost a generation.

    Args:
        reference: a `FrozenReference`.
        batches: a `TargetBatches`, which reads the examples.
        batch_size: optional int. Defaults to that of the batches.
        verbose: 0 or 1. Whether to show progress bars.
        sample: optional callable from a number and a seed to a list of N
            lists of as many strings, responses that the reference samples.

    Attributes:
        example_ids, prompts, responses: lists of N strings.
        response_mask: bool array, `(N, T)`.
        log_likelihoods, preferred: float32 arrays, `(N, T)`, nats; those of
            the examples as they are. See `TokenEvidence`.
    """

    def __init__(
        self, reference, batches, batch_size=None, verbose=0, sample=None
    ):
        self._reference = reference
        self._batches = batches
        self._batch_size = batch_size
        self._verbose = verbose
        self._sample = sample
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
        if self._verbose and view is not None:
            print(f"Scoring under {view}")
        originals = self._batches.originals(self._batch_size, view)
        found = self._reference.evidence(originals, self._verbose)
        count = len(self)
        mask = originals.response_mask
        columns = []
        for values in (found.log_likelihoods, found.preferred):
            # A view may have moved the response, but never changed it.
            column = np.zeros(self.response_mask.shape, "float32")
            column[self.response_mask] = values[:count][mask]
            columns.append(column)
        return TokenEvidence(*columns, self.response_mask)
