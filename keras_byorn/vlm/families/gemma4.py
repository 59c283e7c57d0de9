"""Gemma 4: images as patches, each in place of its token."""

import keras_hub
import numpy as np
from keras import ops

from keras_byorn.vlm.chat_format import turns_format
from keras_byorn.vlm.families.family import soft_capped
from keras_byorn.vlm.families.several_images import SeveralImages


class Gemma4(SeveralImages):
    """Gemma 4 with images and text, without audio and video.

    An image is `pixel_values`, float32, `(B, M, patches, pixels)`, and
    `pixel_position_ids`, int32, `(B, M, patches, 2)`.
    """

    task_classes = (keras_hub.models.Gemma4CausalLM,)
    image_token = "<|image|>"
    more_end_tokens = ("<turn|>",)
    chat = turns_format("<|turn>", "<turn|>")
    image_keys = ("pixel_values", "pixel_position_ids")

    def check(self, task):
        """Raises unless the converter makes as many tokens as a prompt has."""
        preprocessor = task.preprocessor
        if not self.reads_images(preprocessor):
            return
        converter = preprocessor.image_converter
        encoder = task.backbone.vision_encoder
        made = converter.max_soft_tokens, converter.pooling_kernel_size
        read = preprocessor.num_vision_tokens_per_image, encoder.pool_size
        if made != read:
            raise ValueError(
                "`vlm.preprocessor.image_converter` must make the tokens that "
                "the task reads. A preset saved by KerasHub 0.32 forgets "
                "`max_soft_tokens` and `pooling_kernel_size`: after "
                "`from_preset`, set the converter to a `Gemma4ImageConverter("
                f"max_soft_tokens={read[0]}, pooling_kernel_size={read[1]}, "
                "...)`. Received: a converter with "
                f"max_soft_tokens={made[0]}, pooling_kernel_size={made[1]}"
            )

    def project(self, task, hidden):
        logits = super().project(task, hidden)
        return soft_capped(logits, task.final_logit_cap)

    def expanded_image_token(self, preprocessor):
        count = preprocessor.num_vision_tokens_per_image
        return f"<|image>{self.image_token * count}<image|>"

    def image_size(self, preprocessor):
        converter = preprocessor.image_converter
        return (converter.patch_size * converter.pooling_kernel_size,) * 2

    def converted(self, preprocessor, images, mask=None):
        batch, most = images.shape[:2]
        flat = images.reshape(batch * most, *images.shape[2:])
        patches = preprocessor.image_converter(flat)
        return {
            name: (flat := ops.convert_to_numpy(values)).reshape(
                batch, most, *flat.shape[1:]
            )
            for name, values in patches.items()
        }

    def inputs(self, preprocessor, images, text):
        batch, length = text["token_ids"].shape
        bins = preprocessor.audio_input_feat_size
        position_ids = np.arange(length, dtype="int32")
        return {
            **super().inputs(preprocessor, images, text),
            "position_ids": np.broadcast_to(position_ids, (batch, length)),
            "audio_mel": np.zeros((batch, 0, 1, bins), "float32"),
            "audio_mel_mask": np.zeros((batch, 0, 1), "int32"),
            "audio_indices": np.zeros((batch, 0), "int32"),
            "audio_mask": np.zeros((batch, length), bool),
        }
