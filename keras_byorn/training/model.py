"""A frozen and a trainable vision-language model in one Keras model."""

import keras
from keras import ops

from keras_byorn.detection.decisions import HoldOut
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.detection.token_scoring import TokenScoring
from keras_byorn.training.fitting import Fitting
from keras_byorn.training.objective import example_losses, weighted_mean
from keras_byorn.training.streams import (
    StreamSample,
    check_in_step,
    checked_share,
)
from keras_byorn.training.weight_files import lacks_reference
from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.generation import generate_texts
from keras_byorn.vlm.response_logits import (
    chosen_and_max,
    logits_of,
    response_log_likelihoods,
)
from keras_byorn.vlm.task import VisionLanguageTask, build_preprocessor


@keras.saving.register_keras_serializable(package="keras_byorn")
class BYORnModel(Fitting, keras.Model):
    """Fine-tunes a KerasHub vision-language model on data it may not trust.

    The loss is the mean over examples, by weight, of the mean negative
    log-likelihood of an example's response tokens. The weight of an example
    is `1 - P`, P being the probability that its response is suspect. Where a
    batch brings its weights (`TargetBatches`), they are used as they are;
    where it brings none (a stream), the same compiled step scores it with the
    frozen reference, without gradient. Validation scores nothing: its examples
    have a weight of one, unless the batch brings others.

    The task is tuned in place: after `fit`, `vlm` is the tuned task, and
    `vlm.save_to_preset` saves it.

    Args:
        vlm: a KerasHub vision-language task. Call `enable_lora` on its
            backbone first, if LoRA is wanted.
        reference: optional `FrozenReference`. By default the task with its
            adapters off, or in full fine-tuning a frozen copy, which is let go
            once the examples are scored: pass `FrozenReference(second_task)`
            to score more than one data set with one model.
        scorer: optional scorer of streams, one that works in a step. Defaults
            to `MeanLogLikelihood()`.
        decision: optional *fitted* threshold. Only streams need one.
        **kwargs: for `keras.Model`. The data type policy defaults to that of
            the task.

    Raises:
        ValueError: if `vlm` is of no known family, or has nothing to train,
            or if the scorer asks for more than a batch has.

    Example:

    ```python
    model = keras_byorn.BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.AdamW(2e-4, use_ema=True))
    model.fit(
        keras_byorn.TargetBatches(examples, vlm, batch_size=16),
        epochs=3,
        callbacks=[keras_byorn.BYORnCallback()],
    )
    ```

    A stream is any data set of batches that the task's preprocessor returns.
    It has no ids, so that nothing is regenerated or reviewed; suspects carry
    no weight:

    ```python
    stream = tf_dataset.batch(16).map(vlm.preprocessor)
    model = keras_byorn.BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.AdamW(2e-4))
    model.calibrate(stream, num_batches=100)
    model.fit(stream)
    ```

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947)
    """

    def __init__(
        self, vlm, reference=None, scorer=None, decision=None, **kwargs
    ):
        # Keras derives more from it than how layers compute: the loss scale.
        kwargs.setdefault("dtype", vlm.dtype_policy)
        super().__init__(**kwargs)
        task = VisionLanguageTask(vlm)
        build_preprocessor(vlm)
        # Before the reference, which may share its weights: the first of them
        # has the weights in a saved file.
        self.vlm = vlm
        self.reference = reference or FrozenReference.of(vlm)
        self._has_copy = reference is None and not self.reference.adapters_off
        self.scorer = scorer or MeanLogLikelihood()
        check_in_step(self.scorer)
        self.decision = decision
        self.lora_layer_ids = {id(layer) for layer in lora_layers(vlm)}
        self.adapters_merged = False  # as they are in a file
        self.loss_history = None
        self.held_out = self.stream_share = None  # of streams
        self._history_of = None
        self._task = task
        self._batches = None
        self._largest_batch = {"train": (0, 0), "test": (0, 0)}
        self._has_metrics = False
        # A function compiled before `enable_lora` knows no adapters.
        vlm.generate_function = None
        self.built = True

    @property
    def batches(self):
        """The `TargetBatches` that `fit` was last given, or `None`."""
        return self._batches

    def call(self, inputs, training=False):
        """Returns logits of the student, float `(B, T, V)`.

        Args:
            inputs: a dict with the task's inputs, or `image_embeddings` in
                the place of images; other keys are ignored.
            training: bool.
        """
        inputs = self._task.inputs_of(inputs)
        return logits_of(self.vlm, inputs, training=training)

    def objective(self, data, training):
        """Computes the loss of one batch; updates the metrics on the way.

        Args:
            data: a batch of `TargetBatches`, or of the task's preprocessor.
            training: bool.

        Returns:
            float32 scalar, nats per token.
        """
        x, y, mask, weight, extra = self._unpack(data, training)
        losses = self.example_losses(x, y, mask, weight, extra, training)
        history = self.loss_history
        if training and history is not None and "position" in extra:
            history.update(extra["position"], losses)
        loss = weighted_mean(losses, weight)
        # The first of the metrics is the tracker of the loss.
        self.metrics[0].update_state(loss, sample_weight=ops.sum(weight))
        return loss

    def example_losses(self, x, y, response_mask, weight, extra, training):
        """Computes the loss of each example of a batch, within a step.

        A subclass may train on another loss, such as one with a penalty.

        Args:
            x: a dict with the task's inputs, or `image_embeddings`.
            y: int tensor, `(B, T)`, the token that follows each position.
            response_mask: bool tensor, `(B, T)`.
            weight: float32 tensor, `(B,)`, for metrics.
            extra: dict, the batch's `sample_weight`.
            training: bool.

        Returns:
            float32 tensor, `(B,)`, nats per token.
        """
        if self._has_metrics:
            logits = self(x, training=training)
            log_likelihoods, _ = chosen_and_max(logits, y)
            given = {"response_mask": response_mask, "weight": weight}
            self.compute_metrics(x, y, logits, sample_weight=given)
        else:
            log_likelihoods = self.score_tokens(
                x,
                y,
                response_mask,
                positions=extra.get("response_positions"),
                largest=self.largest_batch(training),
                training=training,
            ).log_likelihoods
        return example_losses(log_likelihoods, response_mask)

    def score_tokens(self, inputs, y, response_mask, **kwargs):
        """Scores the tokens of one batch under the student, within a step.

        Args:
            inputs: a dict with the task's inputs; other keys are ignored.
            y, response_mask, **kwargs: see `response_log_likelihoods`.

        Returns:
            `TokenScores` of float32 tensors.
        """
        inputs = self._task.inputs_of(inputs)
        found = response_log_likelihoods(
            self.vlm, inputs, y, response_mask, **kwargs
        )
        return TokenScores(*found, response_mask)

    def score(self, batches, verbose="auto"):
        """Scores whole batches under the student, compiled once.

        Args:
            batches, verbose: as of `FrozenReference.score`.

        Returns:
            `TokenScores` of arrays, `(N, T)`.
        """
        if self.reference.task is self.vlm:
            return self.reference.score_with_adapters(batches, verbose)
        if "_scoring" not in self.__dict__:
            # Not by `self._scoring =`: Keras would take a model for a part of
            # this one, and save and load it within itself.
            self.__dict__["_scoring"] = TokenScoring(self.vlm)
        return self.__dict__["_scoring"].score(batches, verbose)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Gives metrics the weight of each token, `(B, T)`, 0 off responses."""
        if isinstance(sample_weight, dict):
            mask = ops.cast(sample_weight["response_mask"], "float32")
            weight = sample_weight.get("weight", ops.ones_like(mask[:, 0]))
            sample_weight = mask * ops.cast(weight, "float32")[:, None]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def calibrate(
        self, stream, decision=None, num_batches=100, seed=0, verbose=1
    ):
        """Fits a threshold to a sample of a stream, before training on it.

        The training step then scores each batch with the frozen reference,
        which costs a forward pass, and gives what is held out no weight.
        Replacements, a review, an audit, and scorers that compare examples
        need ids, which a stream has not. The cut is that of the sample; the
        share that it holds out is in `History` as `held_out`, and a share far
        above that of the sample is a warning.

        Args:
            stream: iterable of batches, `(x, y, sample_weight)`, as the task's
                preprocessor returns them. A generator is consumed as far as it
                is read.
            decision: optional threshold. Defaults to `HoldOut()`.
            num_batches: int. Batches to look at; take those of a shuffled
                stream. Defaults to 100.
            seed: int. Of the threshold. Defaults to 0.
            verbose: as in `keras.Model.predict`.

        Returns:
            float32 array, `(N,)`, the plausibility of the sample.

        Raises:
            ValueError: if the stream is empty, if nothing of the sample is
                held out, or as the threshold's `fit`.
        """
        sample = StreamSample(stream, num_batches)
        scores = sample.scored_by(self.reference, verbose)
        plausibility = self.scorer.fit(scores).score(scores)
        decision = (decision or HoldOut()).fit(plausibility, seed=seed)
        self.stream_share = checked_share(decision, plausibility)
        if self.held_out is None:
            self.held_out = keras.metrics.Mean(name="held_out")
        self.decision = decision
        # A step that was compiled before has another cut in it.
        self.train_function = self.test_function = None
        return plausibility

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Configures training. See `keras.Model.compile`.

        Args:
            optimizer: a Keras optimizer. With `use_ema=True` its average is
                the teacher of regenerated responses, and `fit` ends with it.
            loss: must be `None`; the loss is this model's own.
            **kwargs: as in `keras.Model.compile`. Metrics are given `y`, the
                logits and, as `weighted_metrics`, the weights of the tokens.
                They cost: without metrics, logits are computed where responses
                stand, and nowhere else.
        """
        if loss is not None:
            raise ValueError(
                "`loss` must be left out: `BYORnModel` weighs examples and "
                f"response tokens itself. Received: loss={loss!r}"
            )
        self._has_metrics = bool(
            kwargs.get("metrics") or kwargs.get("weighted_metrics")
        )
        super().compile(optimizer=optimizer, loss=None, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when it was saved."""
        config = keras.saving.deserialize_keras_object(config)
        config.pop("loss_weights", None)
        self.compile(**config)
        self.optimizer.build(self.trainable_variables)

    def generate(self, inputs, **kwargs):
        """Writes responses, as the task's own `generate`.

        Where the family computes mixed prompt lengths wrongly, prompts are
        grouped by length first.

        Args:
            inputs: a dict of `"images"`, as the task's `generate` takes
                them, if it reads any, and `"prompts"`, a list of B strings.
            **kwargs: as in the task's `generate`, such as `max_length` and
                `strip_prompt`.

        Returns:
            A list of B strings.
        """
        task = VisionLanguageTask(self.vlm)
        return generate_texts(task, inputs, **kwargs)

    def load_weights(self, filepath, **kwargs):
        """Loads weights. See `keras.Model.load_weights`.

        Raises:
            ValueError: with LoRA, for the file has the adapters merged.
        """
        if self.lora_layer_ids:
            raise ValueError(
                "`load_weights` must not be called with LoRA: the file has the "
                "adapters merged into the weights beside them, so that the "
                "reference is lost and nothing trains. Save and load adapters "
                "with `vlm.backbone.save_lora_weights('x.lora.h5')` and "
                f"`load_lora_weights`. Received: filepath={filepath!r}"
            )
        copy = None
        if self._has_copy and lacks_reference(filepath):
            copy = self.reference.task  # it stays as it is
            self.reference.release()
        try:
            super().load_weights(filepath, **kwargs)
        finally:
            if copy is not None:
                self.reference.task = copy

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        vlm = serialize(self.vlm)
        # Keras never compiles a task by it, and would warn of that.
        vlm.pop("compile_config", None)
        return {
            **super().get_config(),
            "vlm": vlm,
            "scorer": serialize(self.scorer),
            "decision": self.decision and serialize(self.decision),
            # Files have a copy's weights, while there is one, and no adapters:
            # these are merged into the weights that they stand beside.
            "has_reference": self.reference.task is not None
            and not self.reference.adapters_off,
            "adapters_merged": self.adapters_merged
            or bool(self.lora_layer_ids),
        }

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)
        for name in ("vlm", "scorer", "decision"):
            config[name] = config[name] and deserialize(config[name])
        has_reference = config.pop("has_reference", True)
        adapters_merged = config.pop("adapters_merged", False)
        model = cls(**config)
        model.adapters_merged = adapters_merged
        if not has_reference:
            model.release_copy()
        return model

    def _unpack(self, data, training):
        """Inputs, targets, response mask, weight per example, and the rest."""
        x, y, extra = keras.utils.unpack_x_y_sample_weight(data)
        if not isinstance(extra, dict):
            extra = {"response_mask": extra}
        mask = ops.cast(extra["response_mask"], "bool")
        if "weight" in extra:
            weight = ops.cast(extra["weight"], "float32")
        elif not training:  # asks no reference
            weight = ops.ones_like(ops.cast(mask[:, 0], "float32"))
        else:
            probability = self._suspect_probability(x, y, mask, extra)
            if self.held_out is not None:
                self.held_out.update_state(probability)
            weight = 1.0 - probability
        return x, y, mask, weight, extra

    def _suspect_probability(self, x, y, mask, extra):
        if self.decision is None:
            raise ValueError(
                "`decision` must be given, and fitted, where batches bring "
                "no weights: call `model.calibrate(stream)` first, or train "
                "on `TargetBatches(examples, vlm)`. Received: decision=None"
            )
        plausibility = extra.get("plausibility")
        if plausibility is None:
            scores = self.reference.score_tokens(x, y, mask)
            plausibility = self.scorer(scores)
        return self.decision(plausibility)
