"""T5Gemma 2: an encoder that reads images and the prompt."""

import keras_hub
import numpy as np
from keras import ops

from keras_byorn.vlm import packing
from keras_byorn.vlm.families.encoder_decoder import EncoderDecoder
from keras_byorn.vlm.families.family import soft_capped


class T5Gemma2(EncoderDecoder):
    """T5Gemma 2 with one image in place of its token, or none.

    KerasHub's preprocessor trains on black images instead of the given ones,
    so this family assembles the batch itself. Images are float32,
    `(B, 1, H, W, 3)`, as the backbone takes them.
    """

    task_classes = (keras_hub.models.T5Gemma2Seq2SeqLM,)
    raw_pixel_range = (0.0, 255.0)
    image_token = "<start_of_image>"
    more_end_tokens = ("<end_of_turn>",)
    vision_layer = "vision_encoder"

    def hidden(self, task, inputs, training):
        return super().hidden(task, inputs, training)["decoder_sequence_output"]

    def project(self, task, hidden):
        logits = task.backbone.decoder_token_embedding(hidden, reverse=True)
        return soft_capped(logits, task.backbone.final_logit_softcapping)

    def num_images(self, preprocessor):
        return (0, 1) if self.reads_images(preprocessor) else (0, 0)

    def expanded_image_token(self, preprocessor):
        count = preprocessor.num_vision_tokens_per_image
        return (
            "\n\n<start_of_image>"
            + "<image_soft_token>" * count
            + "<end_of_image>\n\n"
        )

    def image_placeholder_id(self, preprocessor):
        return preprocessor.tokenizer.token_to_id("<image_soft_token>")

    def encoder_row(self, preprocessor, prompt_ids):
        if not preprocessor.add_start_token:
            return prompt_ids
        start = np.atleast_1d(preprocessor.encoder_packer.start_value)
        return np.concatenate([start, prompt_ids])

    def stack_images(self, preprocessor, images):
        if not self.reads_images(preprocessor):
            return super().stack_images(preprocessor, images)
        given = [image for own in images for image in own]
        size = preprocessor.image_converter.image_size
        black = np.zeros_like(given[0]) if given else np.zeros((*size, 3))
        return np.stack([own[0] if own else black for own in images])

    def image_inputs(self, preprocessor, images, text):
        if not self.reads_images(preprocessor):
            return {}
        mask = text["encoder_token_ids"] == self.image_placeholder_id(
            preprocessor
        )
        width = preprocessor.num_vision_tokens_per_image
        return {
            **self.converted_or_embedded(preprocessor, images),
            "vision_indices": packing.positions(mask, width),
        }

    def converted(self, preprocessor, images, mask=None):
        converted = preprocessor.image_converter(images)
        return {"images": ops.convert_to_numpy(converted)[:, None]}
