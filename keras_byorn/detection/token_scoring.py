"""Token scores of whole data sets, by a compiled program."""

import keras
import numpy as np

from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.vlm.keras_internals import keeping_weights
from keras_byorn.vlm.response_logits import response_log_likelihoods
from keras_byorn.vlm.task import build_preprocessor


class TokenScoring(keras.Model):
    """Scores the response tokens of whole data sets under a task.

    Compiles once for each length of text, and not again for further data of
    these shapes.

    Args:
        task: a KerasHub task, or any model with the inputs of one.
    """

    def __init__(self, task):
        super().__init__(name="token_scoring")
        build_preprocessor(task)
        self.task = task  # tracked, so that its weights are not constants
        self._largest_batch = (0, 0)
        self.built = True

    def call(self, batch):
        log_likelihoods, max_log_likelihoods = response_log_likelihoods(
            self.task,
            batch["x"],
            batch["y"],
            batch["response_mask"],
            positions=batch.get("response_positions"),
            largest=self._largest_batch,
        )
        return {
            "log_likelihoods": log_likelihoods,
            "max_log_likelihoods": max_log_likelihoods,
            "response_mask": batch["response_mask"],
        }

    def score(self, batches, verbose="auto"):
        """Scores whole batches, with a progress bar.

        Args:
            batches: a `ScoringBatches`, or any `keras.utils.PyDataset` of
                `(x, y, sample_weight)`.
            verbose: as in `keras.Model.predict`.

        Returns:
            `TokenScores` of arrays, `(N, T)`.

        Raises:
            ValueError: if the batches do not hold each example once and in
                order, as `TargetBatches` do not.
        """
        if hasattr(batches, "store"):
            raise ValueError(
                "`batches` must hold each example once and in order: pass "
                "`batches.prepared.scoring_batches()`. Received: a "
                f"{type(batches).__name__}"
            )
        if not hasattr(batches, "by_length"):
            return TokenScores(**self._predict(batches, verbose))
        batches = batches.by_length()
        self._expect(batches.largest_batch)
        scores = self._predict(batches, verbose)
        return TokenScores(
            **{key: batches.in_order(values) for key, values in scores.items()}
        )

    def _predict(self, batches, verbose):
        with keeping_weights(self):
            return self.predict(_Inputs(batches), verbose=verbose)

    def _expect(self, largest_batch):
        """Compiles anew for larger batches, whose logits need more blocks."""
        largest_batch = tuple(map(max, self._largest_batch, largest_batch))
        if largest_batch != self._largest_batch:
            self._largest_batch = largest_batch
            self.predict_function = None


class _Inputs(keras.utils.PyDataset):
    """Batches with everything that scoring needs as inputs of the model."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        x, y, sample_weight = self._batches[index]
        named = ("response_mask", "response_positions")
        where = {
            key: sample_weight[key] for key in named if key in sample_weight
        }
        return {"x": x, "y": np.asarray(y), **where}
