"""BLIP-2: an image as a few query tokens before the text."""

import keras_hub

from keras_byorn.vlm.families.encoder_decoder import EncoderDecoder
from keras_byorn.vlm.families.family import Family

# The image converter has its own statistics, for bytes.
RAW_PIXEL_RANGE = (0.0, 255.0)
# The Q-Former behind it is small, and has dropout in the presets.
VISION_LAYER = "vision_encoder"


class Blip2Opt(Family):
    """BLIP-2 with OPT, a decoder that reads the image before the text.

    KerasHub's preprocessor does not split a text into prompt and response;
    this family does.
    """

    task_classes = (keras_hub.models.BLIP2CausalLM,)
    raw_pixel_range = RAW_PIXEL_RANGE
    prompt_key = "text"
    vision_layer = VISION_LAYER

    def prefix_length(self, task):
        return task.backbone.num_query_tokens

    def hidden(self, task, inputs, training):
        hidden = super().hidden(task, inputs, training)
        return hidden[:, self.prefix_length(task) :]


class Blip2T5(EncoderDecoder):
    """BLIP-2 with Flan-T5, whose encoder reads the image and the prompt."""

    task_classes = (keras_hub.models.BLIP2Seq2SeqLM,)
    raw_pixel_range = RAW_PIXEL_RANGE
    vision_layer = VISION_LAYER

    def project(self, task, hidden):
        return task.backbone.language_model.lm_head(hidden)
