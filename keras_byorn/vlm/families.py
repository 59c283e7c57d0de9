"""What differs from one family of vision-language models to the next."""

import dataclasses

import keras_hub


@dataclasses.dataclass(frozen=True)
class Family:
    """One KerasHub task class that the package can defend.

    Args:
        task_class: the KerasHub task.
        pixel_range: pair of floats. What the backbone wants pixels to be,
            after the task's image converter.
        mixed_prompt_lengths: bool. Whether one `generate` call may hold
            prompts of different token lengths.
    """

    task_class: type
    pixel_range: tuple[float, float] = (-1.0, 1.0)
    mixed_prompt_lengths: bool = True


FAMILIES = (
    # Generated tokens overwrite keys of longer prompts in the same batch.
    Family(keras_hub.models.PaliGemmaCausalLM, mixed_prompt_lengths=False),
)


def family_of(task):
    """The family that a KerasHub task belongs to.

    Raises:
        ValueError: if it belongs to none, or has no preprocessor.
    """
    names = ", ".join(family.task_class.__name__ for family in FAMILIES)
    for family in FAMILIES:
        if isinstance(task, family.task_class):
            break
    else:
        raise ValueError(
            "`vlm` must be a KerasHub task that reads images and writes text, "
            f"one of: {names}. Load one with `from_preset`. "
            f"Received: {type(task).__name__}"
        )
    if getattr(task, "preprocessor", None) is None:
        raise ValueError(
            "`vlm` must have its preprocessor, for the tokenizer and the image "
            "converter are needed. Load it with `from_preset(...)` without "
            f"`preprocessor=None`. Received: {type(task).__name__} with "
            "preprocessor=None"
        )
    return family
