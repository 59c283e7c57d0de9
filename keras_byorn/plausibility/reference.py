"""The pretrained model, frozen, that judges the responses."""

import contextlib
import pathlib
import tempfile

import keras
import numpy as np

from keras_byorn.plausibility.log_likelihoods import (
    TokenEvidence,
    token_evidence,
)
from keras_byorn.vlm.adapters import (
    adapters_off,
    freeze_beside_lora,
    lora_candidates,
    lora_layers,
    trainable_beside_lora,
)
from keras_byorn.vlm.families import family_of, find_family
from keras_byorn.vlm.task import logits_of


class FrozenReference(keras.Model):
    """Log-likelihood of responses under the model as it was before training.

    With LoRA the reference is the user's own model with its adapters off: no
    second copy of the weights. In full fine-tuning it is a frozen copy. Any
    other task with the same inputs and vocabulary will do as well.

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
        adapters is trainable still, the reference is a copy.

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
        return cls(_copy(vlm))

    def sees_as(self, task, vision):
        """bool. Whether an image has the same embeddings here.

        Args:
            task: a `VisionLanguageTask`.
            vision: its frozen `Vision`.
        """
        if self.task is task.task:
            return True
        if find_family(self.task) is not task.family:
            return False
        own = task.family.vision(self.task)
        if own is None or not own.is_frozen:
            return False
        return own.digest() == vision.digest()

    def call(self, inputs, y, response_mask):
        return self.look(inputs, y, response_mask).log_likelihoods

    def look(self, inputs, y, response_mask):
        """All that one pass says of the tokens: a `TokenEvidence`."""
        off = adapters_off if self.adapters_off else contextlib.nullcontext
        with off(self.task):
            logits = logits_of(self.task, inputs)
        logits = keras.ops.stop_gradient(logits)
        return token_evidence(logits, y, response_mask)

    def log_likelihoods(self, batches, verbose="auto"):
        """Scores whole batches, compiled, with a progress bar.

        Args:
            batches: a `keras.utils.PyDataset` of `(x, y, sample_weight)`, such
                as `TargetBatches.originals()`.
            verbose: as in `keras.Model.predict`.

        Returns:
            float32 array, `(N, T)`, nats; 0 off the response.
        """
        return self.evidence(batches, verbose).log_likelihoods

    def evidence(self, batches, verbose="auto"):
        """The same with all that a pass says: a `TokenEvidence` of arrays."""
        if "_scoring" not in self.__dict__:
            # Not by `self._scoring =`: Keras would track it within itself.
            self.__dict__["_scoring"] = TokenScoring(self, self.look)
        return self.__dict__["_scoring"].evidence(batches, verbose)


class TokenScoring(keras.Model):
    """A function of `(x, y, response_mask)`, run over whole data sets.

    It is compiled once, and used again for further data of the same shape.

    Args:
        model: the Keras model that the function calls.
        look: callable from inputs, targets and response mask to a
            `TokenEvidence`.
    """

    def __init__(self, model, look):
        super().__init__(name="token_scoring")
        self.model = model  # tracked, so that its weights are not constants
        self._look = look
        self.built = True

    def call(self, batch):
        found = self._look(batch["x"], batch["y"], batch["response_mask"])
        return found._asdict()

    def evidence(self, batches, verbose="auto"):
        """See `FrozenReference.evidence`."""
        return TokenEvidence(**self.predict(_Flat(batches), verbose=verbose))


class _Flat(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        x, y, sample_weight = self._batches[index]
        mask = sample_weight["response_mask"]
        return {"x": x, "y": np.asarray(y), "response_mask": mask}


def _copy(vlm):
    """A second task with the weights of the first, adapters merged."""
    backbone = type(vlm.backbone).from_config(vlm.backbone.get_config())
    copy = type(vlm)(backbone=backbone, preprocessor=vlm.preprocessor)
    if lora_layers(vlm):  # saving is what merges an adapter
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "copy.weights.h5")
            vlm.backbone.save_weights(path)
            copy.backbone.load_weights(path)
    else:
        copy.backbone.set_weights(vlm.backbone.get_weights())
    return copy
