"""Gemma 3n: like Gemma 3, with another way to place images."""

import keras_hub
import numpy as np

from keras_byorn.vlm.families.gemma3 import Gemma3


class Gemma3n(Gemma3):
    """Gemma 3n with images and text, without audio."""

    task_classes = (keras_hub.models.Gemma3nCausalLM,)
    vision_layer = None  # embeddings depend on the batch's other images

    def hidden(self, task, inputs, training):
        backbone = task.backbone
        given = [inputs[tensor.name] for tensor in backbone.inputs]
        return backbone(given, training=training)

    def project(self, task, hidden):
        """Projects hidden states by the embeddings as they are now.

        On JAX and TensorFlow the task's own `call` of KerasHub 0.32 multiplies
        by a copy of them from before its weights were loaded.
        """
        embedding = task.backbone.language_model.token_embedding
        return embedding(hidden, reverse=True)

    def inputs(self, preprocessor, images, text):
        inputs = super().inputs(preprocessor, images, text)
        if getattr(preprocessor, "audio_converter", None) is not None:
            inputs |= _no_audio(preprocessor, text["token_ids"])
        return inputs

    def converted(self, preprocessor, images, mask):
        """Converts images, and moves missing ones to the end of the batch.

        The task counts placeholders through the whole batch, so that a gap
        would shift the images of all later examples.
        """
        inputs = super().converted(preprocessor, images, mask)
        per_image = preprocessor.num_vision_tokens_per_image
        counts = mask.sum(axis=-1) // per_image
        batch, most = images.shape[:2]
        given = np.arange(most) < counts[:, None]
        flat = inputs["images"].reshape(batch * most, *images.shape[2:])
        given = given.reshape(-1)
        order = np.concatenate([np.flatnonzero(given), np.flatnonzero(~given)])
        return {"images": flat[order].reshape(inputs["images"].shape)}


def _no_audio(preprocessor, token_ids):
    """Makes the audio inputs of a batch without audio, as a dict."""
    batch, length = token_ids.shape
    bins = preprocessor.audio_converter.feature_size
    return {
        "input_features": np.zeros((batch, 0, 1, bins), "float32"),
        "input_features_mask": np.zeros((batch, 0, 1), bool),
        "audio_indices": np.zeros((batch, 0), "int32"),
        "audio_mask": np.zeros((batch, length), bool),
    }
