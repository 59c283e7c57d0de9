"""Presets of tiny models: the bundled one, and ones saved on the spot."""

import pathlib

import keras
import keras_hub
import numpy as np

from keras_byorn.vlm.tiny_models.gemma import (
    gemma4_image_converter,
    tiny_gemma3,
)
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma

# Sizes of the bundled preset.
IMAGE_SIZE = 32  # that of Digit Scenes, whose builder is an extra
PATCH_SIZE = 8
SEQUENCE_LENGTH = 32
DECODER = {
    "num_layers": 3,
    "num_query_heads": 4,
    "num_key_value_heads": 1,
    "hidden_dim": 128,
    "head_dim": 32,
}


def tiny_preset():
    """Returns the folder of the bundled preset, a tiny pretrained PaliGemma.

    It has fewer than a million parameters, takes 32 x 32 images and was
    pretrained on Digit Scenes. Its README gives the recipe and the figures.

    Returns:
        A string, for `keras_hub.models.PaliGemmaCausalLM.from_preset`.

    Example:

    >>> vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(
    ...     keras_byorn.tiny_preset()
    ... )
    """
    folder = pathlib.Path(__file__).parent.parent / "presets"
    return str(folder / "digit_scenes_pali_gemma")


def preset_sized_pali_gemma(tokenizer_proto):
    """Builds a PaliGemma of the bundled preset's size, with random weights.

    Args:
        tokenizer_proto: bytes. A serialized SentencePiece model.

    Returns:
        A `keras_hub.models.PaliGemmaCausalLM`.
    """
    return tiny_pali_gemma(
        tokenizer_proto,
        image_size=IMAGE_SIZE,
        sequence_length=SEQUENCE_LENGTH,
        intermediate_dim=384,  # halved inside: one half gates the other
        vit_patch_size=PATCH_SIZE,
        vit_num_heads=4,
        vit_hidden_dim=128,
        vit_num_layers=3,
        vit_intermediate_dim=256,
        **DECODER,
    )


def preset_sized_gemma3(tokenizer_proto):
    """Builds a Gemma 3 about as large as the bundled preset.

    Args:
        tokenizer_proto: bytes. A serialized SentencePiece model that has
            `gemma.GEMMA3_PIECES`.

    Returns:
        A `keras_hub.models.Gemma3CausalLM` with random weights.
    """
    num_vision_tokens = (IMAGE_SIZE // PATCH_SIZE) ** 2
    return tiny_gemma3(
        tokenizer_proto,
        image_size=IMAGE_SIZE,
        # The tokens of an image are in the text, with eight around them.
        sequence_length=SEQUENCE_LENGTH + num_vision_tokens + 8,
        max_images_per_prompt=1,
        vision_config={
            "patch_size": PATCH_SIZE,
            "pool_size": 1,
            "num_layers": 3,
            "num_heads": 4,
            "hidden_dim": 128,
            "intermediate_dim": 256,
            "output_dim": 128,
        },
        intermediate_dim=192,
        sliding_window_size=1024,
        **DECODER,
    )


def randomize_weights(task, seed=0):
    """Assigns large weights drawn by NumPy, the same on every backend.

    With them a task generates another text for every prompt and image.

    Args:
        task: a KerasHub task.
        seed: int.
    """
    rng = np.random.default_rng(seed)
    # Backends differ in the order of a model's variables.
    for variable in sorted(task.backbone.variables, key=lambda v: v.path):
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            shape = tuple(variable.shape)
            if len(shape) > 1:
                values = rng.normal(0, 0.4, shape)
            else:
                values = keras.ops.convert_to_numpy(variable)
                values = values + rng.normal(0, 0.1, shape)
            variable.assign(values)


def save_tiny_preset(make, folder):
    """Saves a preset of a tiny task with large random weights.

    Args:
        make: function without arguments that builds the task, a value of
            `TINY`.
        folder: string or path.

    Returns:
        A pair of the task's class and the folder, a string.
    """
    keras.utils.set_random_seed(0)
    task = make()
    randomize_weights(task)
    task.save_to_preset(str(folder))
    return type(task), str(folder)


def load_tiny_preset(task_class, folder):
    """Loads a task of a saved preset, in a state that is always the same.

    Args:
        task_class: KerasHub task class.
        folder: string, as `save_tiny_preset()` returns it.

    Returns:
        A KerasHub task.
    """
    keras.utils.set_random_seed(1)
    task = task_class.from_preset(folder)
    if task_class is keras_hub.models.Gemma4CausalLM:
        task.preprocessor.image_converter = gemma4_image_converter()
    return task
