"""The frozen pretrained model that scores responses."""

import contextlib
import pathlib
import tempfile

import keras

from keras_byorn.data.digests import digest
from keras_byorn.detection.reference_digest import reference_digest
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.detection.token_scoring import TokenScoring
from keras_byorn.vlm.adapters import (
    adapters_off,
    adapters_zeroed,
    freeze_beside_lora,
    lora_candidates,
    lora_layers,
    trainable_beside_lora,
)
from keras_byorn.vlm.families import family_of, find_family
from keras_byorn.vlm.keras_internals import untrack, was_lora_enabled
from keras_byorn.vlm.response_logits import response_log_likelihoods
from keras_byorn.vlm.task import VisionLanguageTask

# Variables of a copy need paths of their own: on PyTorch, Keras knows the
# parameters of a model by path.
COPY_SCOPE = "frozen_reference"


class FrozenReference(keras.Model):
    """Scores responses under the model as it was before training.

    With LoRA the reference is the user's own model with its adapters off: no
    second copy of the weights. In full fine-tuning it is a frozen copy, in the
    data type that the model computes in. Any other task with the same inputs
    and vocabulary will do as well.

    Args:
        task: a KerasHub vision-language task.
        adapters_off: bool. Whether to switch the task's LoRA adapters off, and
            to leave everything else of it as it is. Otherwise the task itself
            is the reference, and is frozen. Defaults to `False`.

    Call arguments:
        inputs: a dict, the task's inputs, or `image_embeddings` in the place
            of images.
        y: int tensor, `(B, T)`, the token that follows each position.
        response_mask: bool tensor, `(B, T)`.

    Returns:
        float32 tensor, `(B, T)`, nats; 0 off the response. No gradient.

    Example:

    >>> prepared = keras_byorn.PreparedExamples(examples, vlm)
    >>> reference = keras_byorn.FrozenReference.of(vlm)
    >>> token_scores = reference.score(prepared.scoring_batches())
    """

    def __init__(self, task, adapters_off=False, **kwargs):
        super().__init__(**kwargs)
        self.task = task
        self.adapters_off = adapters_off
        # Of the vision tower that this is a copy of, maybe in less precision.
        self._vision_digest = None
        self._identity = None
        if not adapters_off:
            task.trainable = False
            # The flag does not reach the adapters of LoRA layers.
            for variable in task.variables:
                variable.trainable = False
        self.built = True

    @classmethod
    def of(cls, vlm):
        """Returns the reference of a task that is about to be tuned.

        Biases of LoRA layers and weights that the backbone itself holds are
        frozen, for adapters-off would not bring them back. Where more than
        adapters is trainable still, the reference is a copy. Of a task that
        computes in bfloat16 the copy is in bfloat16, also where the task's own
        weights are in float32.

        Args:
            vlm: a KerasHub vision-language task, not trained yet.

        Returns:
            A `FrozenReference`.

        Raises:
            ValueError: if the task is of no known family, if LoRA is enabled
                but touches no layer, or if nothing is trainable.
        """
        family_of(vlm)
        has_lora = bool(lora_layers(vlm))
        if not has_lora and was_lora_enabled(vlm.backbone):
            names = vlm.backbone.default_lora_layer_names()
            raise ValueError(
                "`vlm.backbone.enable_lora(...)` must match at least one "
                "layer. Pass `target_layer_names=` with names that occur in "
                f"this backbone: {lora_candidates(vlm.backbone)}. Received: "
                f"{type(vlm.backbone).__name__} with LoRA on no layer "
                f"(default names: {names})"
            )
        if has_lora:
            freeze_beside_lora(vlm.backbone)
        if not vlm.trainable_variables:
            raise ValueError(
                "`vlm` must have something to train: set "
                "`vlm.trainable = True` or call `vlm.backbone.enable_lora(8)`. "
                f"Received: {type(vlm).__name__} without trainable variables"
            )
        if has_lora and not trainable_beside_lora(vlm):
            return cls(vlm, adapters_off=True)
        reference = cls(_copy(vlm))
        reference._vision_digest = _digest_of_vision(vlm)
        return reference

    @property
    def kind(self):
        """string. The reference in words, for an audit."""
        if not self.adapters_off:
            return "frozen copy"
        has_lora = self.task is not None and lora_layers(self.task)
        return "adapters off" if has_lora else "the task itself"

    def has_vision_of(self, task, vision):
        """Returns whether embeddings of a vision tower are right for this task.

        Args:
            task: a `VisionLanguageTask`.
            vision: its frozen `Vision`.
        """
        if self.task is task.task or self.task is None:  # or released
            return True
        if find_family(self.task) is not task.family:
            return False
        digests = self._vision_digest, _digest_of_vision(self.task)
        return digest(vision.identity()) in digests

    def identity(self):
        """Computes a digest of all that this reference computes with.

        What was computed is still known once the task is released.

        Returns:
            A string of 32 hexadecimal digits.

        Raises:
            ValueError: if it was released before anybody asked.
        """
        if self.task is not None:
            self._identity = reference_digest(self)
        if self._identity is None:
            raise ValueError(
                "`state_dir` must be given in the first `fit` of a model, for "
                "later nobody knows which pretrained weights it began with. "
                "Make the model anew. Received: a model whose reference was "
                "let go"
            )
        return self._identity

    def release(self):
        """Releases the task, so that a copy takes no more memory.

        Scores that were computed stay; nothing can be scored from now on.
        """
        self.__dict__.pop("_scoring", None)
        task = self.task
        del self.task
        untrack(self, task)
        self.task = None

    def call(self, inputs, y, response_mask):
        return self.score_tokens(inputs, y, response_mask).log_likelihoods

    def score_tokens(self, inputs, y, response_mask, **positions):
        """Scores the tokens of one batch, within a step.

        Args:
            inputs, y, response_mask: as in a call.
            **positions: where the response stands, see
                `response_log_likelihoods`.

        Returns:
            `TokenScores` of float32 tensors, without gradient.
        """
        with self.running() as task:
            found = response_log_likelihoods(
                task, inputs, y, response_mask, **positions
            )
        return TokenScores(*map(keras.ops.stop_gradient, found), response_mask)

    def log_likelihoods(self, batches, verbose="auto"):
        """Returns the log-likelihoods of `score`, float32 array `(N, T)`."""
        return self.score(batches, verbose).log_likelihoods

    def score(self, batches, verbose="auto", keep=None):
        """Scores whole batches, compiled, with a progress bar.

        Args:
            batches: a `keras.utils.PyDataset` of `(x, y, sample_weight)`, such
                as `PreparedExamples.scoring_batches()`, which is read by
                length.
            verbose: as in `keras.Model.predict`.
            keep: optional callable, which is given parts of the scores as they
                come, see `TokenScoring.score`.

        Returns:
            `TokenScores` of arrays, `(N, T)`, nats; 0 off the response.

        Raises:
            ValueError: if the reference was released.
        """
        off = adapters_zeroed if self.adapters_off else contextlib.nullcontext
        with off(self._require_task()):
            return self.score_with_adapters(batches, verbose, keep)

    def score_with_adapters(self, batches, verbose="auto", keep=None):
        """Scores batches under the task with its adapters on.

        The programs are those of `score`.
        """
        task = self._require_task()
        if "_scoring" not in self.__dict__:
            # Not by `self._scoring =`: Keras would take a model for a part of
            # this one, and save and load it within itself.
            self.__dict__["_scoring"] = TokenScoring(task)
        return self.__dict__["_scoring"].score(batches, verbose, keep)

    @contextlib.contextmanager
    def running(self):
        """Lets the reference run within a step, in this block.

        Yields:
            The KerasHub task, its adapters off.
        """
        task = self._require_task()
        off = adapters_off if self.adapters_off else contextlib.nullcontext
        with off(task):
            yield task

    @contextlib.contextmanager
    def writing(self):
        """Lets the reference write responses within this block.

        Yields:
            A `VisionLanguageTask`, its adapters without effect.
        """
        task = VisionLanguageTask(self._require_task())
        off = adapters_zeroed if self.adapters_off else contextlib.nullcontext
        with off(task.task):
            yield task

    def _require_task(self):
        if self.task is None:
            raise ValueError(
                "`reference` must be there to score, and is no more: in full "
                "fine-tuning it is a second copy of the weights, let go once "
                "the first data are scored, and files of a model with adapters "
                "have none. To score more, or to train on a stream, make a "
                "second task of the same preset and pass "
                "`BYORnModel(vlm, reference=FrozenReference(second))`. "
                "Received: a reference without its task"
            )
        return self.task


def _digest_of_vision(task):
    """Computes a digest of a task's vision tower; `None` if it has none."""
    vision = find_family(task).vision(task)
    return vision and digest(vision.identity())


def _copy(vlm):
    """Makes a second task with the weights of the first, adapters merged.

    Weights go over one by one, so that no third set is in memory.
    """
    config = _in_compute_dtype(vlm.backbone.get_config())
    with keras.name_scope(COPY_SCOPE):
        backbone = type(vlm.backbone).from_config(config)
    copy = type(vlm)(backbone=backbone, preprocessor=vlm.preprocessor)
    if lora_layers(vlm):  # saving is what merges an adapter
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "copy.weights.h5")
            vlm.backbone.save_weights(path)
            copy.backbone.load_weights(path)
    else:
        pairs = zip(backbone.weights, vlm.backbone.weights, strict=True)
        for own, other in pairs:
            # Not the value itself: on JAX training gives its memory away.
            own.assign(keras.ops.copy(other))
    return copy


def _in_compute_dtype(config):
    """Gives the weights of a configuration the type that they compute in."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_in_compute_dtype, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        policy = keras.dtype_policies.deserialize(config)
        policy = keras.DTypePolicy(policy.compute_dtype)
        return keras.dtype_policies.serialize(policy)
    return {key: _in_compute_dtype(value) for key, value in config.items()}
