"""Language models without vision: the special case of no images."""

import keras_hub

from keras_byorn.vlm.families.family import Family


class TextOnly(Family):
    """Reads a prompt and a response, and no image.

    KerasHub's preprocessors train on a whole text. This family scores and
    trains on the response only.
    """

    task_classes = (
        keras_hub.models.GemmaCausalLM,
        keras_hub.models.LlamaCausalLM,  # and Llama 3
        keras_hub.models.MistralCausalLM,
        keras_hub.models.QwenCausalLM,
        keras_hub.models.Qwen3CausalLM,
    )
    prompt_key = None

    def reads_images(self, preprocessor):
        return False
