"""Gemma 3: any number of images, each in place of its token."""

import warnings

import keras_hub
import numpy as np

from keras_byorn.vlm.chat_format import turns_format
from keras_byorn.vlm.families.several_images import SeveralImages


class Gemma3(SeveralImages):
    """Gemma 3, whose prompt holds `<start_of_image>` for each image."""

    task_classes = (keras_hub.models.Gemma3CausalLM,)
    image_token = "<start_of_image>"
    more_end_tokens = ("<end_of_turn>",)
    chat = turns_format("<start_of_turn>", "<end_of_turn>")

    def check(self, task):
        """Warns of a converter that makes all images nearly black."""
        if not self.reads_images(task.preprocessor):
            return
        converter = task.preprocessor.image_converter
        if converter.scale is None or converter.offset is None:
            return
        white = 255 * np.max(converter.scale) + np.max(converter.offset)
        if white < 0.0:
            warnings.warn(
                "`vlm.preprocessor.image_converter` makes white "
                f"{white:.2f}, where the backbone takes pixels up to 1: "
                "KerasHub 0.32 multiplies by `image_std` where it should "
                "divide, when it reads a Hugging Face checkpoint. Set the "
                "converter to a `Gemma3ImageConverter(image_size=..., "
                "scale=1 / 127.5, offset=-1.0)`.",
                stacklevel=4,
            )

    def expanded_image_token(self, preprocessor):
        tokenizer = preprocessor.tokenizer
        return (
            f"\n\n{tokenizer.start_of_image_token}"
            + tokenizer.image_placeholder
            * preprocessor.num_vision_tokens_per_image
            + f"{tokenizer.end_of_image_token}\n\n"
        )
