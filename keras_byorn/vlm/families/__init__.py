"""Families of KerasHub tasks that the package can defend."""

from keras_byorn.vlm.families.blip2 import Blip2Opt, Blip2T5
from keras_byorn.vlm.families.causal_lm import (
    Gemma,
    Llama,
    Llama3,
    Mistral,
    Qwen,
)
from keras_byorn.vlm.families.gemma3 import Gemma3
from keras_byorn.vlm.families.gemma3n import Gemma3n
from keras_byorn.vlm.families.gemma4 import Gemma4
from keras_byorn.vlm.families.pali_gemma import PaliGemma
from keras_byorn.vlm.families.qwen3_5 import Qwen3_5
from keras_byorn.vlm.families.t5gemma2 import T5Gemma2

FAMILIES = (
    PaliGemma(),
    Gemma3(),
    Gemma3n(),
    Gemma4(),
    Blip2Opt(),
    Blip2T5(),
    T5Gemma2(),
    Qwen3_5(),
    Gemma(),
    Llama3(),  # before Llama, of which its task is one
    Llama(),
    Mistral(),
    Qwen(),
)


def family_of(task):
    """Returns the family of a KerasHub task, if it can be defended.

    Args:
        task: a KerasHub task with its preprocessor.

    Returns:
        A `Family`.

    Raises:
        ValueError: if the task belongs to no family, has no preprocessor, or
            cannot be trained with the installed KerasHub.
    """
    family = find_family(task)
    if family is None:
        names = ", ".join(
            task_class.__name__
            for family in FAMILIES
            for task_class in family.task_classes
        )
        raise ValueError(
            "`vlm` must be a KerasHub task that writes text, one of: "
            f"{names}. Load one with `from_preset`. "
            f"Received: {type(task).__name__}"
        )
    if getattr(task, "preprocessor", None) is None:
        raise ValueError(
            "`vlm` must have its preprocessor, for the tokenizer and the image "
            "converter are needed. Load it with `from_preset(...)` without "
            f"`preprocessor=None`. Received: {type(task).__name__} with "
            "preprocessor=None"
        )
    family.check(task)
    return family


def find_family(task):
    """Returns the family of a task, unchecked, or `None`."""
    for family in FAMILIES:
        if isinstance(task, family.task_classes):
            return family
    return None
