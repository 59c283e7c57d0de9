"""Qwen 3.5: text only, until KerasHub can train it on images."""

import keras_hub

from keras_byorn.vlm.families.causal_lm import TextOnly


class Qwen3_5(TextOnly):
    """Trains where the backbone has no vision encoder."""

    task_classes = (keras_hub.models.Qwen3_5CausalLM,)

    def check(self, task):
        if not task.backbone.text_only_model:
            raise ValueError("TODO")
