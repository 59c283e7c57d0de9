"""The pretrained model, frozen, that judges the responses."""

import contextlib
import pathlib
import tempfile

import keras
import numpy as np

from keras_byorn.detection.token_scores import TokenEvidence
from keras_byorn.vlm.response_logits import response_evidence
from keras_byorn.vlm.adapters import (
    adapters_off,
    adapters_zeroed,
    freeze_beside_lora,
    lora_candidates,
    lora_layers,
    trainable_beside_lora,
)
from keras_byorn.vlm.families import family_of, find_family
from keras_byorn.vlm.task import build_preprocessor


class FrozenReference(keras.Model):
    """Log-likelihood of responses under the model as it was before training.

    With LoRA the reference is the user's own model with its adapters off: no
    second copy of the weights. In full fine-tuning it is a frozen copy, in the
    data type that the model computes in. Any other task with the same inputs
    and vocabulary will do as well.

    Args:
        task: a KerasHub vision-language task.
        adapters_off: bool. Whether to switch the task's LoRA adapters off.
            Otherwise the task itself is the reference, and is frozen.

    Call arguments:
        inputs: a dict, the task's inputs, or `image_embeddings` in the place
            of images.
        y: int tensor, `(B, T)`, the token that follows each position.
        response_mask: bool tensor, `(B, T)`.

    Returns:
        float32 tensor, `(B, T)`, nats; 0 off the response. No gradient.

    Example:

    >>> reference = FrozenReference.of(vlm)
    >>> log_likelihoods = reference.log_likelihoods(batches.originals())
    """

    def __init__(self, task, adapters_off=False, **kwargs):
        super().__init__(**kwargs)
        self.task = task
        self.adapters_off = adapters_off
        # A context for each batch, see `TokenScoring`.
        self.threads = contextlib.nullcontext
        # Those of the task that this is a copy of, be it in another precision.
        self._eyes = None
        if not adapters_off:
            task.trainable = False
            # The flag does not reach the adapters of LoRA layers.
            for variable in task.variables:
                variable.trainable = False
        self.built = True

    @classmethod
    def of(cls, vlm):
        """The reference of a task that is about to be tuned.

        Biases of LoRA layers and weights that the backbone itself holds are
        frozen, for adapters-off would not bring them back. Where more than
        adapters is trainable still, the reference is a copy. Of a task that
        computes in bfloat16 the copy is in bfloat16, be the task's own
        weights in float32.

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
        if not has_lora and hasattr(vlm.backbone, "_lora_rank"):
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
        reference._eyes = _digest_of_frozen_eyes(vlm)
        return reference

    def sees_as(self, task, vision):
        """bool. Whether an image has the same embeddings here.

        Args:
            task: a `VisionLanguageTask`.
            vision: its frozen `Vision`.
        """
        if self.task is task.task or self.task is None:  # or let go
            return True
        if find_family(self.task) is not task.family:
            return False
        digests = self._eyes, _digest_of_frozen_eyes(self.task)
        return vision.digest() in digests

    def release(self):
        """Lets go of the task, so that a copy takes no memory any more.

        What was scored stays; nothing can be scored from now on.
        """
        self.__dict__.pop("_score", None)
        task = self.task
        del self.task
        self._tracker.untrack(task)
        self.task = None

    def judge(self):
        """The task.

        Raises:
            ValueError: if it was let go.
        """
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

    def call(self, inputs, y, response_mask):
        return self.look(inputs, y, response_mask).log_likelihoods

    def look(self, inputs, y, response_mask, **positions):
        """All that one pass says of the tokens: a `TokenEvidence`.

        Args:
            inputs, y, response_mask: as in a call.
            **positions: where the response stands, see `response_evidence`.
        """
        task = self.judge()
        off = adapters_off if self.adapters_off else contextlib.nullcontext
        with off(task):
            found = response_evidence(
                task, inputs, y, response_mask, **positions
            )
        return TokenEvidence(*map(keras.ops.stop_gradient, found[:2]), found[2])

    def log_likelihoods(self, batches, verbose="auto"):
        """Scores whole batches, compiled, with a progress bar.

        Args:
            batches: a `keras.utils.PyDataset` of `(x, y, sample_weight)`, such
                as `TargetBatches.originals()`, which is read by length.
            verbose: as in `keras.Model.predict`.

        Returns:
            float32 array, `(N, T)`, nats; 0 off the response.
        """
        return self.evidence(batches, verbose).log_likelihoods

    def evidence(self, batches, verbose="auto"):
        """The same with all that a pass says: a `TokenEvidence` of arrays."""
        off = adapters_zeroed if self.adapters_off else contextlib.nullcontext
        with off(self.judge()):
            return self.evidence_as_it_is(batches, verbose)

    def evidence_as_it_is(self, batches, verbose="auto"):
        """The same of the task with its adapters, by the same programs."""
        task = self.judge()
        if "_score" not in self.__dict__:
            # Not by `self._score =`: Keras would take a model for a part of
            # this one, and save and load it within itself.
            self.__dict__["_score"] = TokenScoring(
                task, lambda size: self.threads(size)
            )
        return self.__dict__["_score"].evidence(batches, verbose)


class TokenScoring(keras.Model):
    """What a task says of response tokens, run over whole data sets.

    It is compiled once for each length of text, and used again for further
    data of the same shapes.

    Args:
        task: a KerasHub task, or any model with the inputs of one.
        threads: callable from the positions in a batch to a context, in which
            the batch is scored.
    """

    def __init__(self, task, threads=contextlib.nullcontext):
        super().__init__(name="token_scoring")
        build_preprocessor(task)
        self._threads = threads
        family = find_family(task)
        self._prefix_length = family.prefix_length(task) if family else 0
        self.task = task  # tracked, so that its weights are not constants
        self._largest = (0, 0)
        self.built = True

    def call(self, batch):
        rows, length = keras.ops.shape(batch["y"])
        with self._threads(rows * (self._prefix_length + length)):
            return response_evidence(
                self.task,
                batch["x"],
                batch["y"],
                batch["response_mask"],
                positions=batch.get("response_positions"),
                largest=self._largest,
            )._asdict()

    def evidence(self, batches, verbose="auto"):
        """See `FrozenReference.evidence`."""
        by_length = getattr(batches, "by_length", None)
        if hasattr(batches, "originals"):
            raise ValueError(
                "`batches` must hold each example once and in order: pass "
                "`batches.originals()`. Received: a "
                f"{type(batches).__name__}"
            )
        if by_length is None:
            found = self.predict(_Flat(batches), verbose=verbose)
            return TokenEvidence(**found)
        batches = by_length()
        self._expect(batches.largest)
        found = self.predict(_Flat(batches), verbose=verbose)
        return TokenEvidence(
            **{key: batches.restored(values) for key, values in found.items()}
        )

    def _expect(self, largest):
        """A program that was made for less may need too much memory."""
        largest = tuple(map(max, self._largest, largest))
        if largest != self._largest:
            self._largest = largest
            self.predict_function = None


class _Flat(keras.utils.PyDataset):
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


def _digest_of_frozen_eyes(task):
    """string or `None`. Of the vision tower, if none of it is trained."""
    vision = find_family(task).vision(task)
    return vision.digest() if vision and vision.is_frozen else None


def _copy(vlm):
    """A second task with the weights of the first, adapters merged.

    Weights go over one by one, so that no third set is in memory.
    """
    config = _in_compute_dtype(vlm.backbone.get_config())
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
    """A configuration whose weights have the type that they compute in."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_in_compute_dtype, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        policy = keras.dtype_policies.deserialize(config)
        policy = keras.DTypePolicy(policy.compute_dtype)
        return keras.dtype_policies.serialize(policy)
    return {key: _in_compute_dtype(value) for key, value in config.items()}
