"""Honest label noise: responses that are wrong by mistake."""

import numpy as np

from keras_byorn.data.digit_scenes_drawing import COLOURS, DIGITS


def other_caption(response, responses, rng):
    """Returns the response to a random other picture."""
    others = [other for other in responses if other != response]
    return str(rng.choice(others))


def wrong_word(response, responses, rng):
    """Returns the response with one colour or digit wrong."""
    words = response.split()
    kinds = [next((k for k in (COLOURS, DIGITS) if w in k), ()) for w in words]
    place = int(rng.choice([i for i, kind in enumerate(kinds) if kind]))
    others = [word for word in kinds[place] if word != words[place]]
    words[place] = str(rng.choice(others))
    return " ".join(words)


KINDS = {"captions": other_caption, "words": wrong_word}


def with_label_noise(examples, kind, share, seed):
    """Gives a share of the examples wrong responses.

    Args:
        examples: an `Examples` of captions. Not changed.
        kind: string, a key of `KINDS`.
        share: float in `[0, 1]`.
        seed: int. Chooses the examples and the mistakes.

    Returns:
        A tuple of the new `Examples` and the set of the ids with a mistake.
    """
    rng = np.random.default_rng(seed)
    count = round(share * len(examples))
    responses = [example["responses"] for example in examples]
    changed = {}
    for index in rng.permutation(len(examples))[:count]:
        example = examples[int(index)]
        wrong = KINDS[kind](example["responses"], responses, rng)
        changed[example["example_id"]] = {**example, "responses": wrong}
    return examples.replaced(changed), set(changed)
