"""Shared fixtures: a tiny vision-language model and a few examples."""

import os
import tempfile

# Compiling takes most of the time of so small a model. XLA reads this once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import keras
import numpy as np
import pytest

from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.tiny_models.pali_gemma import IMAGE_SIZE, tiny_pali_gemma
from keras_byorn.vlm.tiny_models.tokenizers import (
    COLOURS,
    DIGITS,
    sentence_pieces,
)

SEQUENCE_LENGTH = 16


if keras.config.backend() == "jax":
    import jax

    # A step that another test traces again is not compiled again.
    compiled = tempfile.TemporaryDirectory()
    jax.config.update("jax_compilation_cache_dir", compiled.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
elif keras.config.backend() == "torch":
    import torch

    # With so small a model, more threads only wait for one another.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer_proto():
    """A SentencePiece model with a token for each of `WORDS`, and letters."""
    return sentence_pieces()


@pytest.fixture(scope="session")
def make_vlm(tokenizer_proto):
    """A function that makes a tiny PaliGemma, equal for equal seeds."""

    def make(
        lora_rank=None, seed=0, sequence_length=SEQUENCE_LENGTH, num_layers=1
    ):
        keras.utils.set_random_seed(seed)
        vlm = tiny_pali_gemma(
            tokenizer_proto,
            sequence_length=sequence_length,
            num_layers=num_layers,
        )
        if lora_rank:
            vlm.backbone.enable_lora(lora_rank)
        return vlm

    return make


@pytest.fixture
def vlm(make_vlm):
    """A tiny PaliGemma with random weights."""
    return make_vlm()


@pytest.fixture
def wordy_vlm(make_vlm):
    """A tiny PaliGemma with another response to every prompt and image.

    It has two layers, as the keys of a first one do not depend on the
    context, and large weights drawn by NumPy, equal on every backend. In a
    batch of several prompt lengths its responses differ from those to each
    prompt alone.
    """
    vlm, rng = make_vlm(num_layers=2), np.random.default_rng(4)
    for variable in vlm.backbone.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.7, variable.shape))
    return vlm


@pytest.fixture(scope="session")
def make_examples():
    """A function that makes example dicts, equal for equal arguments.

    The responses differ in their first word and in their number of tokens.
    """

    def make(count=6, prompts="describe the image\n", responses=None):
        rng = np.random.default_rng(7)
        if isinstance(prompts, str):
            prompts = [prompts] * count
        if responses is None:
            texts = [f"{a} {b}" for a in COLOURS for b in DIGITS]
            texts[1::2] = [text.split()[0] for text in texts[1::2]]
            responses = [texts[7 * i % len(texts)] for i in range(count)]
        return [
            {
                "example_id": f"scene-{index}",
                "images": rng.integers(
                    0, 256, (IMAGE_SIZE, IMAGE_SIZE, 3)
                ).astype("uint8"),
                "prompts": prompts[index],
                "responses": responses[index],
            }
            for index in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def make_batches(make_examples):
    """A function that makes `TargetBatches` for a task, in order."""

    def make(vlm, examples=None, batch_size=4, shuffle=False, **kwargs):
        if examples is None:
            examples = make_examples()
        return TargetBatches(
            examples, vlm, batch_size=batch_size, shuffle=shuffle, **kwargs
        )

    return make


@pytest.fixture(scope="session")
def response_log_likelihoods():
    """The oracle: log-likelihoods of next tokens, in NumPy, float64."""

    def compute(vlm, x, y, response_mask):
        logits = keras.ops.convert_to_numpy(vlm(x, training=False))
        logits = logits.astype("float64")
        peak = logits.max(axis=-1, keepdims=True)
        norm = np.log(np.exp(logits - peak).sum(axis=-1)) + peak[..., 0]
        chosen = np.take_along_axis(logits, np.asarray(y)[..., None], axis=-1)
        return np.where(response_mask, chosen[..., 0] - norm, 0.0)

    return compute
