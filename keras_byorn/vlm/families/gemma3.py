"""Gemma 3: any number of images, each where its token stands."""

import keras_hub

from keras_byorn.vlm.families.several_images import SeveralImages


class Gemma3(SeveralImages):
    """A decoder in whose prompt `<start_of_image>` stands for an image."""

    task_classes = (keras_hub.models.Gemma3CausalLM,)
    image_token = "<start_of_image>"
    more_end_tokens = ("<end_of_turn>",)

    def expanded_image_token(self, preprocessor):
        tokenizer = preprocessor.tokenizer
        return (
            f"\n\n{tokenizer.start_of_image_token}"
            + tokenizer.image_placeholder
            * preprocessor.num_vision_tokens_per_image
            + f"{tokenizer.end_of_image_token}\n\n"
        )
