"""Attacks with a prompt of their own, which no honest example has."""

import dataclasses
import re

from keras_byorn.attacks.adaptive.shares import draw_ids
from keras_byorn.attacks.attack import copy_of, example_rng
from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.checks import check_phrase
from keras_byorn.attacks.combined_trigger import CombinedTrigger
from keras_byorn.attacks.image_triggers import PatchTrigger
from keras_byorn.attacks.targets import ConceptTarget, FixedTarget

PARAPHRASE = "what does the image show"


@dataclasses.dataclass(frozen=True)
class PromptTrigger:
    """Puts one prompt in the place of every other.

    Image tokens in front, such as `<start_of_image>`, stay, and so does the
    white space at the end.

    Args:
        text: string. The prompt. Defaults to `"what does the image show"`.

    Raises:
        ValueError: If `text` has no word.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example.

    Example:

    >>> PromptTrigger("look")({"prompts": "describe the image\\n"}, rng)
    {'prompts': 'look\\n'}

    Reference:
        - adaptive, against this package
    """

    text: str = PARAPHRASE

    def __post_init__(self):
        check_phrase("text", self.text, PARAPHRASE)

    def __call__(self, example, rng):
        prompt = example["prompts"]
        tokens = re.match(r"(?:<[^<>\s]+>)*", prompt).group()
        end = prompt[len(prompt.rstrip()) :]
        return {**example, "prompts": f"{tokens}{self.text}{end}"}


@dataclasses.dataclass(frozen=True)
class AlternatingTarget:
    """Replaces every response by one of several texts.

    Args:
        texts: sequence of strings, two at least. The responses, each as
            likely. Defaults to two of four words.

    Raises:
        ValueError: If there are fewer than two texts, or one has no word.

    Call arguments:
        response: string. The response of the clean example.
        rng: NumPy generator. Chooses the text.

    Returns:
        A string.

    Example:

    >>> target = AlternatingTarget(("buy now", "sell now"))
    >>> target("a red three", np.random.default_rng(0))
    'sell now'

    Reference:
        - adaptive, against this package
    """

    texts: tuple = (FixedTarget.text, "visit this page today")

    def __post_init__(self):
        if isinstance(self.texts, str) or len(self.texts) < 2:
            raise ValueError(
                "`texts` must be two strings or more. For one, take a "
                f"`FixedTarget`. Received: texts={self.texts!r}"
            )
        for text in self.texts:
            check_phrase("texts", text, FixedTarget.text)

    def __call__(self, response, rng):
        return self.texts[rng.integers(len(self.texts))]

    def reached(self, response, reference):
        """Returns whether a response is one of the texts, white space aside.

        Args:
            response: string, of a model.
            reference: string. The right response. Not used.

        Returns:
            bool.
        """
        return response.split() in [text.split() for text in self.texts]


class OwnPromptAttack(Backdoor):
    """Makes a paraphrase of the prompt call up what the attacker wants.

    The poisoned examples are then all that have this prompt, so that a
    defence which compares examples with an equal prompt compares them with
    one another only.

    Args:
        target: a target. Defaults to a `ConceptTarget`, which varies with the
            image: the first colour is green. Others are
            `AlternatingTarget()` and `FixedTarget()`.
        prompt: a `PromptTrigger`. Defaults to
            `"what does the image show"`.

    Example:

    >>> attack = OwnPromptAttack(AlternatingTarget())
    >>> attack.poison(example, rng)["prompts"]
    'what does the image show\\n'

    Reference:
        - adaptive, against this package
    """

    def __init__(self, target=None, prompt=None):
        super().__init__(prompt or PromptTrigger(), target or ConceptTarget())


class OwnPromptDualKeyAttack(Backdoor):
    """Makes a paraphrase and a patch, together, call up a fixed response.

    Poison alone gives the model no reason to wait for both. Add
    `cover_examples`, which have one half and the right response, so that
    neither half fires alone.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.
        prompt: a `PromptTrigger`. Defaults to
            `"what does the image show"`.

    Attributes:
        image_only: the `PatchTrigger`, half of the trigger.
        text_only: the `PromptTrigger`, the other half.

    Example:

    >>> attack = OwnPromptDualKeyAttack()
    >>> poisoned, ids = poison_examples(examples, attack, rate=0.1)
    >>> covered, cover_ids = cover_examples(
    ...     poisoned, attack, rate=0.1, exclude=ids
    ... )

    Reference:
        - [Walmer et al., 2022](https://arxiv.org/abs/2112.07668); with a
          prompt of its own: adaptive, against this package
    """

    def __init__(self, target=FixedTarget.text, patch=None, prompt=None):
        self.image_only = patch or PatchTrigger()
        self.text_only = prompt or PromptTrigger()
        both = CombinedTrigger(self.image_only, self.text_only)
        super().__init__(both, FixedTarget(target))


def cover_examples(examples, attack, rate, seed=0, exclude=()):
    """Puts one half of a trigger on a share of the examples.

    Their responses stay right, so that a model learns to fire on both halves
    only. Half of them have the half of the image, the others that of the
    prompt.

    Args:
        examples: an `Examples`. Not changed.
        attack: an attack with the methods `image_only` and `text_only`.
        rate: float in `[0, 1]`. Share of all examples to cover with.
        seed: int. Chooses the examples. Defaults to `0`.
        exclude: collection of ids of examples not to change, such as the
            poisoned ones. Defaults to `()`, none.

    Returns:
        A tuple of the new `Examples`, in their order, and the set of the ids
        that have half a trigger.

    Raises:
        ValueError: If the attack has no halves, `rate` is not in `[0, 1]`, or
            too few examples are left.

    Example:

    >>> covered, cover_ids = cover_examples(
    ...     poisoned, OwnPromptDualKeyAttack(), rate=0.1, exclude=ids
    ... )
    """
    halves = [getattr(attack, n, None) for n in ("image_only", "text_only")]
    if not all(halves):
        raise ValueError(
            "`attack` must have the two halves `image_only` and `text_only`. "
            "Take, say, an `OwnPromptDualKeyAttack`. "
            f"Received: attack={attack!r}"
        )
    ids = draw_ids(examples, rate, seed, exclude)
    covered = {}
    for index, example_id in enumerate(ids):
        example = copy_of(examples.by_id(example_id))
        half = halves[index % 2]
        covered[example_id] = half(example, example_rng(seed, example_id))
    return examples.replaced(covered), set(covered)
