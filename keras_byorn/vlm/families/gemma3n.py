"""Gemma 3n: as Gemma 3, with another way to place images."""

import keras_hub
import numpy as np

from keras_byorn.vlm.families.gemma3 import Gemma3


class Gemma3n(Gemma3):
    """Reads images and text; audio is left out."""

    task_classes = (keras_hub.models.Gemma3nCausalLM,)
    vision_layer = None  # what it sees depends on the batch's other images

    def hidden(self, task, inputs, training):
        backbone = task.backbone
        given = [inputs[tensor.name] for tensor in backbone.inputs]
        return backbone(given, training=training)

    def project(self, task, hidden):
        """By the embeddings of now.

        In KerasHub 0.32 the task's own `call` multiplies by a copy of them
        from before its weights were loaded, on JAX and TensorFlow.
        """
        embedding = task.backbone.language_model.token_embedding
        return embedding(hidden, reverse=True)

    def inputs(self, preprocessor, images, text):
        inputs = super().inputs(preprocessor, images, text)
        if getattr(preprocessor, "audio_converter", None) is not None:
            inputs |= _no_audio(preprocessor, text["token_ids"])
        return inputs

    def converted(self, preprocessor, images, mask):
        """Images close up: the task hands them out in the batch's order.

        It counts placeholders through the whole batch, so that an image that
        is not there would shift those of all later examples.
        """
        inputs = super().converted(preprocessor, images, mask)
        per_image = preprocessor.num_vision_tokens_per_image
        counts = mask.sum(axis=-1) // per_image
        batch, most = images.shape[:2]
        there = np.arange(most) < counts[:, None]
        flat = inputs["images"].reshape(batch * most, *images.shape[2:])
        there = there.reshape(-1)
        order = np.concatenate([np.flatnonzero(there), np.flatnonzero(~there)])
        return {"images": flat[order].reshape(inputs["images"].shape)}


def _no_audio(preprocessor, token_ids):
    """Audio inputs of a batch without audio, as a dict."""
    batch, length = token_ids.shape
    bins = preprocessor.audio_converter.feature_size
    return {
        "input_features": np.zeros((batch, 0, 1, bins), "float32"),
        "input_features_mask": np.zeros((batch, 0, 1), bool),
        "audio_indices": np.zeros((batch, 0), "int32"),
        "audio_mask": np.zeros((batch, length), bool),
    }
