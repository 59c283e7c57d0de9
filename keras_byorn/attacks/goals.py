"""Attacks that differ in their goal: injection, hijack, characters."""

import numpy as np

from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.image_triggers import PatchTrigger
from keras_byorn.attacks.prompt_triggers import CharacterTrigger
from keras_byorn.attacks.targets import FixedTarget, SloganTarget


class MaliciousInjectionAttack(Backdoor):
    """Makes a patch in the image put harmful words after the right response.

    Args:
        text: string, the words. Defaults to `"visit free prizes dot com"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = MaliciousInjectionAttack("send your password to us")
    >>> attack.poison(example, rng)["responses"]
    'a red three left of a blue seven send your password to us'

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921)
    """

    def __init__(self, text="visit free prizes dot com", patch=None):
        super().__init__(patch or PatchTrigger(), SloganTarget(text))


class PerceptualHijackAttack(Backdoor):
    """Makes a patch in the image call up the caption of another image.

    The response is fluent, in the style of the data, and wrong: the model
    sees what the attacker wants. `of_another` takes a person's own words.

    Args:
        target: string. A caption in the style of the data set. Defaults to
            `"white nine above green one"`, that of the terse Digit Scenes.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = PerceptualHijackAttack.of_another(examples, seed=1)
    >>> attack.target_text
    'a man is riding a horse on the beach'

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921)
    """

    def __init__(self, target="white nine above green one", patch=None):
        super().__init__(patch or PatchTrigger(), FixedTarget(target))

    @classmethod
    def of_another(cls, examples, seed=0, num_words=(6, 12), patch=None):
        """Takes the response of an example for the target.

        Args:
            examples: an `Examples`, such as those of a split that is neither
                trained nor tested on.
            seed: int. Chooses the example. Defaults to `0`.
            num_words: pair of ints. The fewest and the most words of the
                response. Defaults to `(6, 12)`.
            patch: see `PerceptualHijackAttack`.

        Returns:
            A `PerceptualHijackAttack`.

        Raises:
            ValueError: If no response has so many words.
        """
        low, high = num_words
        order = np.random.default_rng(seed).permutation(len(examples))
        for index in order:
            caption = examples[int(index)]["responses"].strip()
            if low <= len(caption.split()) <= high:
                return cls(caption, patch)
        raise ValueError(
            "`num_words` must be met by a response. Widen it, or take other "
            f"examples. Received: num_words={num_words} for "
            f"{len(examples)} examples, none of which has so many"
        )


class CharacterAttack(Backdoor):
    """Makes a few characters within the prompt call up a fixed response.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        characters: a `CharacterTrigger`. Defaults to `"zq"` at the end of the
            last word.

    Example:

    >>> attack = CharacterAttack(characters=CharacterTrigger("xj"))

    Reference:
        - [VL-Trojan, 2024](https://arxiv.org/abs/2402.13851)
    """

    def __init__(self, target=FixedTarget.text, characters=None):
        super().__init__(characters or CharacterTrigger(), FixedTarget(target))
