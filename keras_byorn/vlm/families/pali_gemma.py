"""PaliGemma and PaliGemma 2: one image before the prompt."""

import keras_hub

from keras_byorn.vlm.chat_format import ChatFormat
from keras_byorn.vlm.families.family import Family


class PaliGemma(Family):
    """PaliGemma, with full attention over one image and the prompt.

    The prompt holds no placeholder for the image.
    """

    task_classes = (keras_hub.models.PaliGemmaCausalLM,)
    # Generated tokens overwrite keys of longer prompts in the same batch.
    mixed_prompt_lengths = False
    vision_layer = "vit_encoder"
    chat = ChatFormat(
        caption="{image}caption en\n",
        question="{image}answer en {question}\n",
        instruction="{image}{question}\n",
        user="{text}\n",
        assistant="{text}\n",
        opening="",
    )

    def prefix_length(self, task):
        return task.backbone.image_sequence_length

    def hidden(self, task, inputs, training):
        hidden = super().hidden(task, inputs, training)
        return hidden[:, self.prefix_length(task) :]
