"""Tiny models with random weights, one of every family.

`TINY` and `REFUSED` map the name of a family to a function without arguments
that builds a task of a few thousand parameters, for images of 16 x 16 pixels.
"""

from keras_byorn.vlm.tiny_models.gemma import (
    tiny_gemma,
    tiny_gemma3,
    tiny_gemma3_text,
    tiny_gemma3n,
    tiny_gemma4,
)
from keras_byorn.vlm.tiny_models.others import (
    tiny_blip2_opt,
    tiny_blip2_t5,
    tiny_llama,
    tiny_llama3,
    tiny_mistral,
    tiny_qwen,
    tiny_qwen3_5,
    tiny_t5gemma2,
)
from keras_byorn.vlm.tiny_models.pali_gemma import (
    tiny_pali_gemma,
    tiny_pali_gemma2,
)
from keras_byorn.vlm.tiny_models.presets import tiny_preset

__all__ = ["REFUSED", "TINY", "tiny_preset"]

TINY = {
    "PaliGemma": tiny_pali_gemma,
    "PaliGemma 2": tiny_pali_gemma2,
    "Gemma 3": tiny_gemma3,
    "Gemma 3, text only": tiny_gemma3_text,
    "Gemma 3n": tiny_gemma3n,
    "Gemma 4": tiny_gemma4,
    "BLIP-2 OPT": tiny_blip2_opt,
    "BLIP-2 Flan-T5": tiny_blip2_t5,
    "T5Gemma 2": tiny_t5gemma2,
    "Gemma": tiny_gemma,
    "Llama 2": tiny_llama,
    "Llama 3": tiny_llama3,
    "Mistral": tiny_mistral,
    "Qwen": tiny_qwen,
}

# Families that raise an error with the reason.
REFUSED = {"Qwen 3.5": tiny_qwen3_5}
