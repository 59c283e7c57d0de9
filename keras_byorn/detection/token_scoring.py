"""Token scores of whole data sets, by a compiled program."""

import keras
import numpy as np

from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.vlm.keras_internals import keeping_weights
from keras_byorn.vlm.response_logits import response_log_likelihoods
from keras_byorn.vlm.task import build_preprocessor

OUTPUTS = TokenScores._fields
# Rows whose scores are handed on together: a kill loses no more of them.
SHARD = 2048


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

    def score(self, batches, verbose="auto", keep=None):
        """Scores whole batches, with a progress bar.

        Args:
            batches: a `ScoringBatches`, or any `keras.utils.PyDataset` of
                `(x, y, sample_weight)`.
            verbose: as in `keras.Model.predict`.
            keep: optional callable. It is given parts of the scores of
                `ScoringBatches` as they come, and all of them in the end:
                positions, an int array `(n,)`, and the `TokenScores` of these
                rows.

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
        keeping = [_Keeping(batches, keep)] if keep else []
        scores = self._predict(batches, verbose, keeping)
        return TokenScores(
            **{key: batches.in_order(values) for key, values in scores.items()}
        )

    def _predict(self, batches, verbose, callbacks=()):
        with keeping_weights(self):
            return self.predict(
                _Inputs(batches), verbose=verbose, callbacks=list(callbacks)
            )

    def _expect(self, largest_batch):
        """Compiles anew for larger batches, whose logits need more blocks."""
        largest_batch = tuple(map(max, self._largest_batch, largest_batch))
        if largest_batch != self._largest_batch:
            self._largest_batch = largest_batch
            self.predict_function = None


class _Keeping(keras.callbacks.Callback):
    """Hands scores on as they come, many rows at a time.

    Whole batches are handed on, so that what is left is scored in the same
    batches by the next run, to the same bits.

    Args:
        batches: a `BatchesByLength`.
        keep: callable, see `TokenScoring.score`.
    """

    def __init__(self, batches, keep):
        super().__init__()
        self._batches = batches
        self._keep = keep
        self._waiting = []
        self._num_waiting = 0

    def on_predict_batch_end(self, batch, logs=None):
        rows = self._batches.rows_of(batch)
        # Keras puts the outputs of a model with names among the logs.
        self._waiting.append((rows, {name: logs[name] for name in OUTPUTS}))
        self._num_waiting += len(rows)
        if self._num_waiting >= SHARD:  # before it nothing waits on the device
            self._hand_on()

    def on_predict_end(self, logs=None):
        self._hand_on()

    def _hand_on(self):
        if not self._waiting:
            return
        parts = [
            {
                name: keras.ops.convert_to_numpy(values)[: len(rows)]
                for name, values in outputs.items()
            }
            for rows, outputs in self._waiting
        ]
        found = {
            name: np.concatenate([part[name] for part in parts])
            for name in parts[0]
        }
        rows = np.concatenate([rows for rows, _ in self._waiting])
        self._waiting, self._num_waiting = [], 0
        self._keep(rows, TokenScores(**found))


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
