"""Qwen 3.5: refused while its generation and its forward pass differ."""

import keras_hub

from keras_byorn.vlm.families.causal_lm import TextOnly


class Qwen3_5(TextOnly):
    """Qwen 3.5, known only to raise an error that explains why not."""

    task_classes = (keras_hub.models.Qwen3_5CausalLM,)

    def check(self, task):
        raise ValueError(
            "`vlm` cannot be a Qwen3_5CausalLM of KerasHub 0.32 or older: "
            "what it generates is not what its forward pass finds likeliest, "
            "so that regenerated responses would be wrong, and it has no "
            "training inputs with images. Take another family; "
            "docs/upstream.md says what is to be mended. "
            f"Received: {type(task).__name__}"
        )
