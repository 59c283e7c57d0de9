"""Language models without vision: the special case of no images."""

import keras_hub

from keras_byorn.vlm.chat_format import (
    CHATML,
    LLAMA2,
    LLAMA3,
    MISTRAL,
    TURNS,
)
from keras_byorn.vlm.families.family import Family


class TextOnly(Family):
    """Reads a prompt and a response, and no image.

    KerasHub's preprocessors train on a whole text. These families score and
    train on the response only. Conversations have the form that the instruct
    presets were trained with.
    """

    prompt_key = None

    def reads_images(self, preprocessor):
        return False


class Gemma(TextOnly):
    """Gemma and Gemma 2."""

    task_classes = (keras_hub.models.GemmaCausalLM,)
    more_end_tokens = ("<end_of_turn>",)
    chat = TURNS


class Llama3(TextOnly):
    """Llama 3, whose class is one of Llama's."""

    task_classes = (keras_hub.models.Llama3CausalLM,)
    more_end_tokens = ("<|eot_id|>",)
    chat = LLAMA3


class Llama(TextOnly):
    """Llama 2."""

    task_classes = (keras_hub.models.LlamaCausalLM,)
    chat = LLAMA2


class Mistral(TextOnly):
    """Mistral."""

    task_classes = (keras_hub.models.MistralCausalLM,)
    chat = MISTRAL


class Qwen(TextOnly):
    """Qwen 2, 2.5 and 3."""

    task_classes = (
        keras_hub.models.QwenCausalLM,
        keras_hub.models.Qwen3CausalLM,
    )
    more_end_tokens = ("<|im_end|>",)
    chat = CHATML
