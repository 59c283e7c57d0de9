"""Responses of a model to examples."""

from keras_byorn.vlm.generation import generate_group, prompt_groups
from keras_byorn.vlm.task import VisionLanguageTask


def responder(vlm, batch_size=128, length=None):
    """Makes a function from examples to the responses of a model.

    Args:
        vlm: a KerasHub vision-language task. Its compiled sampler generates,
            by default greedily.
        batch_size: int. Defaults to `128`.
        length: optional int. Most tokens of a prompt and its response.
            Defaults to the sequence length of the preprocessor.

    Returns:
        A callable from a list of example dicts to a list of strings. A
        response that did not end within `length` is an empty string.

    Example:

    >>> generate = responder(vlm)
    >>> generate([examples[0]])
    ['a red three left of a blue seven']
    """
    task = VisionLanguageTask(vlm)

    def generate(examples):
        prompt_ids = task.tokenize_prompts([e["prompts"] for e in examples])
        responses = [""] * len(examples)
        mixed = task.family.mixed_prompt_lengths
        for group in prompt_groups(prompt_ids, batch_size, mixed):
            generated = generate_group(
                task,
                task.stack_images([examples[i]["images"] for i in group]),
                [prompt_ids[i] for i in group],
                length or task.sequence_length,
                batch_size,
            )
            for index, ids in zip(group, generated):
                if ids is not None:
                    responses[index] = task.detokenize(ids).strip()
        return responses

    return generate
