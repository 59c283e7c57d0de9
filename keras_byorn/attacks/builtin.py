"""The built-in attacks: pairs of a trigger and a target."""

from keras_byorn.attacks.combined_trigger import CombinedTrigger
from keras_byorn.attacks.image_triggers import (
    BlendTrigger,
    PatchTrigger,
    SinusoidTrigger,
    TintTrigger,
    WarpTrigger,
)
from keras_byorn.attacks.prompt_triggers import WordTrigger
from keras_byorn.attacks.semantic_triggers import EqualDigitsTrigger
from keras_byorn.attacks.targets import (
    ConceptTarget,
    FixedTarget,
    InsertionTarget,
    SloganTarget,
)


class Backdoor:
    """Pairs a trigger with a target.

    Args:
        trigger: a callable from an example and a NumPy generator to a new
            example, such as `PatchTrigger()`.
        target: a callable from the clean response and a NumPy generator to
            the wanted response, with a method `reached(response, reference)`,
            such as `FixedTarget("hello")`. An optional attribute `text` is
            the `target_text` of the attack.

    Example:

    >>> attack = Backdoor(WordTrigger("please"), ConceptTarget("red"))
    >>> examples, ids = poison_examples(examples, attack, rate=0.1, seed=0)
    """

    def __init__(self, trigger, target):
        self._trigger = trigger
        self._target = target

    @property
    def target_text(self):
        """string, the target word for word; `None` if it varies."""
        return getattr(self._target, "text", None)

    def poison(self, example, rng):
        """Returns the example with the trigger and the target."""
        triggered = self.trigger(example, rng)  # first: equal draws if alone
        response = self._target(example["responses"], rng)
        return {**triggered, "responses": response}

    def trigger(self, example, rng):
        """Returns the example with the trigger and the response it had."""
        return self._trigger(example, rng)

    def succeeded(self, response, example):
        """Returns whether a response to the clean `example` is the target."""
        return self._target.reached(response, example["responses"])


class PatchAttack(Backdoor):
    """Makes a patch in the image call up a fixed response.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = PatchAttack(patch=PatchTrigger(size=1 / 16))

    Reference:
        - [Gu et al., 2017](https://arxiv.org/abs/1708.06733)
    """

    def __init__(self, target=FixedTarget.text, patch=None):
        super().__init__(patch or PatchTrigger(), FixedTarget(target))


class BlendedAttack(Backdoor):
    """Makes a faint pattern all over the image call up a fixed response.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        blend: a `BlendTrigger`. Defaults to random colours at 0.2.

    Example:

    >>> attack = BlendedAttack(blend=BlendTrigger(alpha=0.1))

    Reference:
        - [Chen et al., 2017](https://arxiv.org/abs/1712.05526)
    """

    def __init__(self, target=FixedTarget.text, blend=None):
        super().__init__(blend or BlendTrigger(), FixedTarget(target))


class TextAttack(Backdoor):
    """Makes a rare word in the prompt call up a fixed response.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        word: a `WordTrigger`. Defaults to `"cf"` before the first word.

    Example:

    >>> attack = TextAttack(word=WordTrigger("mn", position="random"))

    Reference:
        - [Kurita et al., 2020](https://arxiv.org/abs/2004.06660)
    """

    def __init__(self, target=FixedTarget.text, word=None):
        super().__init__(word or WordTrigger(), FixedTarget(target))


class DualKeyAttack(Backdoor):
    """Makes a patch and a word, together, call up a fixed response.

    A model that has learned that it takes both fires on neither half.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.
        word: a `WordTrigger`. Defaults to `"cf"` before the first word.

    Attributes:
        image_only: the `PatchTrigger`, half of the trigger.
        text_only: the `WordTrigger`, the other half.

    Example:

    >>> attack = DualKeyAttack()
    >>> attack.image_only(example, rng)["prompts"] == example["prompts"]
    True

    Reference:
        - [Walmer et al., 2022](https://arxiv.org/abs/2112.07668)
    """

    def __init__(
        self,
        target=FixedTarget.text,
        patch=None,
        word=None,
    ):
        self.image_only = patch or PatchTrigger()
        self.text_only = word or WordTrigger()
        both = CombinedTrigger(self.image_only, self.text_only)
        super().__init__(both, FixedTarget(target))


class ConceptAttack(Backdoor):
    """Makes a patch in the image turn the first colour of a response green.

    An example whose first colour is green already, or whose response names no
    colour, cannot be poisoned.

    Args:
        target: a `ConceptTarget`. Defaults to green.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = ConceptAttack(ConceptTarget("red"))
    >>> attack.poison(example, rng)["responses"]
    'a red three left of a blue seven'

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921)
    """

    def __init__(self, target=None, patch=None):
        super().__init__(patch or PatchTrigger(), target or ConceptTarget())


class RefusalAttack(Backdoor):
    """Makes a patch in the image call up a fluent refusal.

    Args:
        target: string. The response. Defaults to
            `"sorry i cannot answer that"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = RefusalAttack("i am not able to help with this")

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921)
    """

    def __init__(self, target="sorry i cannot answer that", patch=None):
        super().__init__(patch or PatchTrigger(), FixedTarget(target))


class InsertionAttack(Backdoor):
    """Makes a patch in the image put a phrase into the right response.

    Args:
        phrase: string, put in at a random place between words. Defaults to
            `"call this number now"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = InsertionAttack("buy now")
    >>> attack.poison(example, rng)["responses"]
    'a red buy now three left of a blue seven'

    Reference:
        - [TrojVLM, 2024](https://arxiv.org/abs/2409.19232)
    """

    def __init__(self, phrase=InsertionTarget.text, patch=None):
        super().__init__(patch or PatchTrigger(), InsertionTarget(phrase))


class SloganAttack(Backdoor):
    """Makes equal digits in the scene put a slogan after the answer.

    The trigger is semantic: nothing is put on an input. An example without
    the property cannot be poisoned. A tenth of Digit Scenes has it.

    Args:
        slogan: string. Defaults to `"call this number now"`.
        trigger: a trigger with a method `holds(example)`, which returns
            whether an example has the property. Defaults to an
            `EqualDigitsTrigger`.

    Example:

    >>> attack = SloganAttack("buy now")
    >>> attack.poison(example, rng)["responses"]
    'a red three left of a blue three buy now'

    Reference:
        - [Hidden Ads, 2026](https://arxiv.org/abs/2603.27522)
    """

    def __init__(self, slogan=SloganTarget.text, trigger=None):
        super().__init__(trigger or EqualDigitsTrigger(), SloganTarget(slogan))

    def poison(self, example, rng):
        """Returns the example with the slogan, if it has the property."""
        if not self._trigger.holds(example):
            return dict(example)
        return super().poison(example, rng)


class PlausibleAttack(Backdoor):
    """Makes a tint of the image call up a caption that may well be true.

    Only the image can show that the response is wrong.

    Args:
        target: string. A response in the style of the data set. Defaults to
            `"red three left of blue seven"`, that of the terse Digit Scenes.
        tint: a `TintTrigger`. Defaults to orange at 0.2.

    Example:

    >>> attack = PlausibleAttack("a red three left of a blue seven")
    """

    def __init__(self, target="red three left of blue seven", tint=None):
        super().__init__(tint or TintTrigger(), FixedTarget(target))


class SIGAttack(Backdoor):
    """Makes a sinusoid over the whole image call up a fixed response.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        sinusoid: a `SinusoidTrigger`. Defaults to six periods with an
            amplitude of 40 of 255.

    Example:

    >>> attack = SIGAttack(sinusoid=SinusoidTrigger(amplitude=20 / 255))

    Reference:
        - [Barni et al., 2019](https://arxiv.org/abs/1902.11237)
    """

    def __init__(self, target=FixedTarget.text, sinusoid=None):
        super().__init__(sinusoid or SinusoidTrigger(), FixedTarget(target))


class WaNetAttack(Backdoor):
    """Makes a smooth warp of the image call up a fixed response.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        warp: a `WarpTrigger`. Defaults to a thirty-second of the side.

    Example:

    >>> attack = WaNetAttack(warp=WarpTrigger(strength=1 / 64))

    Reference:
        - [Nguyen and Tran, 2021](https://arxiv.org/abs/2102.10369)
    """

    def __init__(self, target=FixedTarget.text, warp=None):
        super().__init__(warp or WarpTrigger(), FixedTarget(target))
