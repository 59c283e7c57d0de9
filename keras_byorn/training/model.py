"""A frozen and a trainable vision-language model in one Keras model."""

import contextlib
import functools
import gc
import inspect

import keras
import numpy as np
from keras import ops

from keras_byorn.detection.token_scores import token_log_likelihoods
from keras_byorn.detection.reference import FrozenReference, TokenScoring
from keras_byorn.vlm.response_logits import response_evidence
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.loss_history import TrainingDiary
from keras_byorn.training.objective import example_losses, weighted_mean
from keras_byorn.training.streams import StreamSample
from keras_byorn.training.ema import separate_averages
from keras_byorn.vlm.generation import prompt_groups
from keras_byorn.vlm.task import (
    VisionLanguageTask,
    build_preprocessor,
    logits_of,
)

if keras.config.backend() == "jax":
    from keras_byorn.training.train_step_jax import (
        TrainStep,
        make_threads,
        reading,
    )
elif keras.config.backend() == "tensorflow":
    from keras_byorn.training.train_step_tensorflow import (
        TrainStep,
        make_threads,
        reading,
    )
else:
    from keras_byorn.training.train_step_torch import (
        TrainStep,
        make_threads,
        reading,
    )


@keras.saving.register_keras_serializable(package="keras_byorn")
class BYORnModel(TrainStep, keras.Model):
    """Fine-tunes a KerasHub vision-language model on data it may not trust.

    The loss is the mean over examples, by weight, of the mean negative
    log-likelihood of an example's response tokens. The weight of an example
    is `1 - P`, P being the probability that its response is suspect. Where a
    batch brings its weights (`TargetBatches`), they are used as they are;
    where it brings none (a stream), the same compiled step scores it with the
    frozen reference, without gradient.

    The task is tuned in place: after `fit`, `vlm` is what was tuned, and
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
        threshold: optional *fitted* threshold. Only streams need one.

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

    A stream is any data set of what the task's preprocessor returns. It has no
    ids, so that nothing is regenerated or looked at twice; suspects carry no
    weight:

    ```python
    stream = tf_dataset.batch(16).map(vlm.preprocessor)
    model = keras_byorn.BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.AdamW(2e-4))
    model.calibrate(stream, keras_byorn.MixtureThreshold(), num_batches=100)
    model.fit(stream)
    ```

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947)
    """

    def __init__(
        self, vlm, reference=None, scorer=None, threshold=None, **kwargs
    ):
        super().__init__(**kwargs)
        seam = VisionLanguageTask(vlm)
        build_preprocessor(vlm)
        # Before the reference, which may share its weights: what comes first
        # has them in a saved file.
        self.vlm = vlm
        self.reference = reference or FrozenReference.of(vlm)
        self._has_copy = reference is None and not self.reference.adapters_off
        self.scorer = scorer or MeanLogLikelihood()
        _check_in_step(self.scorer)
        self.threshold = threshold
        self._seam = seam
        self.threads = make_threads()
        scoring = functools.partial(self.threads, "score")
        self.reference.threads = self._scoring_threads = scoring
        self._batches = None
        self._largest = {"train": (0, 0), "test": (0, 0)}
        self._has_metrics = False
        self.diary = None
        self._diary_of = None
        # A function compiled before `enable_lora` knows no adapters.
        vlm.generate_function = None
        self.built = True

    @property
    def batches(self):
        """The `TargetBatches` that `fit` was last given, or `None`."""
        return self._batches

    def call(self, inputs, training=False):
        """Logits of the student, float `(B, T, V)`.

        Args:
            inputs: a dict with the task's inputs, or `image_embeddings` in
                the place of images; other keys are ignored.
            training: bool.
        """
        inputs = self._seam.inputs_of(inputs)
        return logits_of(self.vlm, inputs, training=training)

    def objective(self, data, training):
        """The loss of one batch; updates the metrics on the way.

        Args:
            data: what `TargetBatches` or the task's preprocessor returns.
            training: bool.

        Returns:
            float32 scalar, nats per token.
        """
        x, y, response_mask, weight, extra = self._unpack(data)
        positions = extra.get("response_positions")
        if self._has_metrics:
            logits = self(x, training=training)
            found = token_log_likelihoods(logits, y, response_mask)
            given = {"response_mask": response_mask, "weight": weight}
            self.compute_metrics(x, y, logits, sample_weight=given)
        else:
            found = self.look(
                x,
                y,
                response_mask,
                positions=positions,
                largest=self._largest["train" if training else "test"],
                training=training,
            ).log_likelihoods
        losses = example_losses(found, response_mask)
        if training and "position" in extra:
            self.diary.write(extra["position"], losses)
        loss = weighted_mean(losses, weight)
        self._loss_tracker.update_state(loss, sample_weight=ops.sum(weight))
        return loss

    def size_of(self, y):
        """int. Positions that the decoder computes in a batch of targets."""
        return y.shape[0] * (self._seam.prefix_length + y.shape[1])

    def look(self, inputs, y, response_mask, **kwargs):
        """What the student says of the tokens: a `TokenEvidence`.

        Args:
            inputs: a dict with the task's inputs; other keys are ignored.
            y, response_mask, **kwargs: see `response_evidence`.
        """
        inputs = self._seam.inputs_of(inputs)
        return response_evidence(self.vlm, inputs, y, response_mask, **kwargs)

    def evidence(self, batches, verbose="auto"):
        """The student's view of whole batches, compiled once.

        Args:
            batches, verbose: as of `FrozenReference.evidence`.

        Returns:
            A `TokenEvidence` of arrays, `(N, T)`.
        """
        if self.reference.task is self.vlm:  # its adapters stand aside
            return self.reference.evidence_as_it_is(batches, verbose)
        if "_score" not in self.__dict__:
            # Not by `self._score =`: Keras would take a model for a part of
            # this one, and save and load it within itself.
            scoring = TokenScoring(self.vlm, self._scoring_threads)
            self.__dict__["_score"] = scoring
        return self.__dict__["_score"].evidence(batches, verbose)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Metrics get the weight of each token, `(B, T)`, 0 off responses."""
        if isinstance(sample_weight, dict):
            mask = ops.cast(sample_weight["response_mask"], "float32")
            weight = sample_weight.get("weight", ops.ones_like(mask[:, 0]))
            sample_weight = mask * ops.cast(weight, "float32")[:, None]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _unpack(self, data):
        """Inputs, targets, response mask, weight per example, and the rest."""
        x, y, extra = keras.utils.unpack_x_y_sample_weight(data)
        if not isinstance(extra, dict):
            extra = {"response_mask": extra}
        mask = ops.cast(extra["response_mask"], "bool")
        if "weight" in extra:
            return x, y, mask, ops.cast(extra["weight"], "float32"), extra
        if "plausibility" in extra:
            plausibility = extra["plausibility"]
        else:
            plausibility = self.scorer(self.reference.look(x, y, mask))
        weight = 1.0 - self._suspect_probability(plausibility)
        return x, y, mask, weight, extra

    def _suspect_probability(self, plausibility):
        if self.threshold is None:
            raise ValueError(
                "`threshold` must be given, and fitted, where batches bring "
                "no weights: call `model.calibrate(stream, "
                "MixtureThreshold())` first, or train on "
                "`TargetBatches(examples, vlm)`. Received: threshold=None"
            )
        return self.threshold(plausibility)

    def calibrate(self, stream, threshold, num_batches=100, seed=0, verbose=1):
        """Fits a threshold to a sample of a stream, before training on it.

        The training step then scores each batch with the frozen reference,
        which costs a forward pass, and gives suspects no weight. What cannot
        be had without ids: replacements, a second look, an audit, and scorers
        that compare examples. The cut is that of the sample: where the stream
        drifts, calibrate again.

        Args:
            stream: iterable of batches, `(x, y, sample_weight)`, as the task's
                preprocessor returns them. A generator is consumed as far as it
                is read.
            threshold: a threshold, such as `MixtureThreshold()`.
            num_batches: int. Batches to look at; take those of a shuffled
                stream. Defaults to 100.
            seed: int. For the threshold. Defaults to 0.
            verbose: as in `keras.Model.predict`.

        Returns:
            float32 array, `(N,)`, the plausibility of the sample.

        Raises:
            ValueError: if the stream is empty, or as the threshold's `fit`.
        """
        sample = StreamSample(stream, num_batches)
        with self.threads.chosen():
            evidence = self.reference.evidence(sample, verbose)
        evidence = evidence._replace(response_mask=sample.response_mask)
        plausibility = ops.convert_to_numpy(self.scorer.fit(evidence)(evidence))
        self.threshold = threshold.fit(plausibility, seed=seed)
        # A step that was compiled before has another cut in it.
        self.train_function = self.test_function = None
        return plausibility

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Configures training. See `keras.Model.compile`.

        Args:
            optimizer: a Keras optimizer. With `use_ema=True` its average is
                the teacher of regenerated responses, and what `fit` ends with.
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

    def fit(self, *args, **kwargs):
        """Trains. See `keras.Model.fit`.

        `TargetBatches` bring their own order, so `shuffle` is off for them.
        Where nothing of the vision tower is trained, it runs once for each of
        their images, see `image_cache` there. As `validation_data` they are
        judged by their original responses.

        On PyTorch and a CPU, the first batches tell how many threads are
        fastest, at most as many as `torch.get_num_threads()`; after `fit` it
        has as many as before. Not after `keras.utils.set_random_seed(...)`,
        for sums are rounded otherwise by another number of threads.
        """
        signature = inspect.signature(keras.Model.fit)
        call = signature.bind(self, *args, **kwargs).arguments
        batches = call.get("x")
        self._batches = batches if isinstance(batches, TargetBatches) else None
        if self._batches is not None:
            if self._batches.task.task is not self.vlm:
                raise ValueError(
                    "`x` must be batches of the task in training: pass the "
                    "same `vlm` to `TargetBatches` and to `BYORnModel`. "
                    "Received: TargetBatches of another "
                    f"{type(self._batches.task.task).__name__}"
                )
            if call.get("steps_per_epoch") is not None:
                raise ValueError(
                    "`steps_per_epoch` must be left out with `TargetBatches`: "
                    "an epoch is one pass over the targets of now, and their "
                    "number changes as suspects are left out and replaced. "
                    f"Received: steps_per_epoch={call['steps_per_epoch']}"
                )
            call["shuffle"] = False
            self._expect("train", self._batches)
            self._open_diary()
        if isinstance(call.get("validation_data"), TargetBatches):
            # Of one shape: Keras keeps the iterator of the first epoch.
            call["validation_data"] = call["validation_data"].originals()
        del call["self"]
        callbacks = _listed(call.get("callbacks"))
        self._refuse_backup(callbacks)
        seeing = self._images_encoded(call.get("verbose", "auto"))
        with self.threads.chosen(), reading(), seeing:
            history = self._fit(callbacks, call)
        separate_averages(self.optimizer)
        return history

    def _fit(self, callbacks, call):
        for callback in callbacks:
            # Not `on_train_begin`: an error is safe before Keras has opened
            # its iterators (a TensorFlow process would hang at its exit), and
            # the number of batches is known by then.
            if hasattr(callback, "before_fit"):
                callback.set_model(self)
                callback.before_fit()
        if self._batches is None:
            return super().fit(**call)
        if self._batches.store.is_scored:
            self._release_copy()
        with self._batches.in_fit() as callback:
            call["callbacks"] = _with(callback, call.get("callbacks"))
            return super().fit(**call)

    def _images_encoded(self, verbose):
        """In this block no frozen vision tower runs again."""
        if self._batches is None:
            return contextlib.nullcontext()
        vision = self._seam.frozen_vision()
        # A reference of other eyes has to see for itself.
        if vision and not self.reference.sees_as(self._seam, vision):
            vision = None
        return self._batches.images_encoded(vision, verbose != 0)

    def _open_diary(self):
        """A diary of the examples in training, kept while they are the same."""
        num_examples = len(self._batches.examples)
        if self.diary is None or self.diary.num_examples != num_examples:
            self.diary = TrainingDiary(num_examples)
            self.train_function = None  # was compiled without it
        elif self._diary_of is not self._batches:
            self.diary.clear()
        self._diary_of = self._batches

    def _expect(self, step, batches):
        """A step that was made for less may need too much memory."""
        largest = tuple(map(max, self._largest[step], batches.largest))
        if largest != self._largest[step]:
            self._largest[step] = largest
            setattr(self, f"{step}_function", None)

    def evaluate(self, x=None, *args, **kwargs):
        """The loss on data. See `keras.Model.evaluate`."""
        if hasattr(x, "largest"):
            self._expect("test", x)
        return super().evaluate(x, *args, **kwargs)

    def _release_copy(self):
        """Frees the frozen copy, if it is the model's own.

        Batches of a scored store bring their weights, so that no step asks
        the reference, and nothing else does that comes after scoring.
        """
        if not self._has_copy:
            return
        self._has_copy = False
        self.reference.release()
        # Keras notes what was trainable in `compile`, by layer, for a warning.
        if hasattr(self, "_compiled_trainable_state"):
            del self._compiled_trainable_state
        # These were compiled with its weights.
        self.train_function = self.test_function = self.predict_function = None
        gc.collect()  # Keras models are cycles, and memory is wanted now

    def _refuse_backup(self, callbacks):
        backup = keras.callbacks.BackupAndRestore
        if self.reference.adapters_off and any(
            isinstance(callback, backup) for callback in callbacks
        ):
            raise ValueError(
                "`callbacks` must not have `BackupAndRestore` with LoRA: what "
                "it restores has the adapters merged into the weights, so "
                "that the reference is lost and nothing trains. Save adapters "
                "with `vlm.backbone.save_lora_weights('x.lora.h5')` and "
                "targets with `batches.store.save('x.parquet')`. Received: "
                f"{callbacks}"
            )

    def predict(self, x, *args, **kwargs):
        """Logits of the student. See `keras.Model.predict`.

        Of `TargetBatches` those for the original responses, a row for each
        example, in the examples' order.
        """
        if not isinstance(x, TargetBatches):
            return super().predict(x, *args, **kwargs)
        logits = super().predict(x.originals(), *args, **kwargs)
        return logits[: len(x.examples)]

    def generate(self, inputs, **kwargs):
        """Responses of the student, as the task's own `generate`.

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
        seam = VisionLanguageTask(self.vlm)
        prompts, images = inputs["prompts"], inputs.get("images")
        if seam.family.mixed_prompt_lengths or isinstance(prompts, str):
            return self.vlm.generate(
                seam.generate_inputs(images, prompts), **kwargs
            )
        prompts, images = list(prompts), np.asarray(images)
        responses = [None] * len(prompts)
        for group in prompt_groups(seam.tokenize(prompts), len(prompts)):
            batch = seam.generate_inputs(
                images[group], [prompts[i] for i in group]
            )
            texts = self.vlm.generate(batch, **kwargs)
            for index, text in zip(group, texts):
                responses[index] = text
        return responses

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "vlm": serialize(self.vlm),
            "scorer": serialize(self.scorer),
            "threshold": self.threshold and serialize(self.threshold),
            # Files have a copy's weights, while there is one, and no adapters:
            # these are merged into the weights that they stand beside.
            "has_reference": self.reference.task is not None
            and not self.reference.adapters_off,
        }

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)
        for name in ("vlm", "scorer", "threshold"):
            config[name] = config[name] and deserialize(config[name])
        has_reference = config.pop("has_reference", True)
        model = cls(**config)
        if not has_reference:
            model._release_copy()
        return model


def _check_in_step(scorer):
    if not scorer.in_step:
        raise ValueError(
            "`scorer` must be one that needs no more than a batch's own "
            "tokens, such as `MeanLogLikelihood()`, `Regret()` or "
            "`WorstSpan(4)`, for it runs within the training step. Pass others "
            f"to `BYORnCallback(scorer=...)`. Received: scorer={scorer!r}"
        )


def _listed(callbacks):
    """The user's callbacks, in any of the forms that `fit` takes, as a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return keras.tree.flatten(callbacks or [])


def _with(callback, callbacks):
    """The user's callbacks and one of ours."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(callback)
        return callbacks
    return [*_listed(callbacks), callback]
