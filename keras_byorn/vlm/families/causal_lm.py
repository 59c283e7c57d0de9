"""Language models without eyes: the special case of no images."""

import keras_hub

from keras_byorn.vlm.families.family import Family


class TextOnly(Family):
    """A prompt and a response, and nothing else.

    Their KerasHub preprocessors know no prompt: they train on all of a text.
    Here only the response is scored and trained on.
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
