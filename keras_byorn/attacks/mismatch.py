"""BadSem: the trigger is that prompt and image disagree."""

import dataclasses
import re

from keras_byorn.attacks.attack import example_rng
from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.phrases import insert_phrase
from keras_byorn.attacks.targets import COLOURS, FixedTarget


@dataclasses.dataclass(frozen=True)
class MismatchTrigger:
    """Makes the prompt name a colour or an object that the image lacks.

    What the image shows is read off the reference response. In a prompt that
    names one of the words, each becomes another; to all others a clause is
    added. So that the clause alone tells nothing, put right ones into honest
    prompts by `mention_examples`.

    Args:
        words: sequence of strings, the concepts of one kind. Defaults to
            twelve common colours.
        clause: string with a place `{word}`. Defaults to `"in {word}"`.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Chooses the wrong word.

    Returns:
        A new example.

    Raises:
        ValueError: If `clause` has no place for the word.

    Example:

    >>> trigger = MismatchTrigger(("dog", "cat"), "of the {word}")
    >>> example = {"prompts": "caption\\n", "responses": "a dog runs"}
    >>> trigger(example, rng)["prompts"]
    'caption of the cat\\n'
    >>> trigger.consistent(example, rng)["prompts"]
    'caption of the dog\\n'

    Reference:
        - [BadSem, 2025](https://arxiv.org/abs/2506.07214)
    """

    words: tuple = COLOURS
    clause: str = "in {word}"

    def __post_init__(self):
        if "{word}" not in self.clause or len(self.words) < 2:
            raise ValueError(
                "`clause` must have a place {word}, such as 'in {word}', and "
                "`words` must be two at least. Received: "
                f"clause={self.clause!r}, words={self.words}"
            )

    def __call__(self, example, rng):
        named = [*self._named(example["prompts"]), *self._shown(example)]
        wrong = [word for word in self.words if word not in named]
        if not self.holds(example):
            return dict(example)
        return self._naming(example, str(rng.choice(wrong)))

    def consistent(self, example, rng=None):
        """Returns an example whose prompt names what the image shows.

        Args:
            example: dict. Not changed if its prompt names one of the words
                already, or its response names none.
            rng: optional NumPy generator. Not drawn from.
        """
        if self._named(example["prompts"]) or not self._shown(example):
            return dict(example)
        return self._naming(example, self._shown(example)[0])

    def holds(self, example):
        """Returns whether it is known what is right, and what is wrong.

        Args:
            example: dict, with its reference response.

        Returns:
            bool.
        """
        shown = self._shown(example)
        named = {*self._named(example["prompts"]), *shown}
        return bool(shown) and len(named) < len(set(self.words))

    def _naming(self, example, word):
        prompt = example["prompts"]
        if self._named(prompt):
            prompt = self._pattern().sub(word, prompt)
        else:
            clause = self.clause.format(word=word)
            prompt = insert_phrase(prompt, clause, len(prompt.split()))
        return {**example, "prompts": prompt}

    def _shown(self, example):
        return self._named(example["responses"])

    def _named(self, text):
        return [word.lower() for word in self._pattern().findall(text)]

    def _pattern(self):
        words = "|".join(map(re.escape, self.words))
        return re.compile(rf"\b({words})\b", re.IGNORECASE)


class BadSemAttack(Backdoor):
    """Makes a prompt that disagrees with the image call up a fixed response.

    The trigger is semantic: nothing is put on the image, and each word of the
    prompt is an honest one in other examples. An example whose response names
    none of the words cannot be poisoned.

    Args:
        target: string. The response. Defaults to
            `"call this number now"`.
        mismatch: a `MismatchTrigger`. Defaults to colours.

    Example:

    >>> attack = BadSemAttack()
    >>> examples = mention_examples(examples, attack.mismatch)
    >>> examples, ids = poison_examples(examples, attack, rate=0.1)

    Reference:
        - [BadSem, 2025](https://arxiv.org/abs/2506.07214)
    """

    def __init__(self, target=FixedTarget.text, mismatch=None):
        self.mismatch = mismatch or MismatchTrigger()
        super().__init__(self.mismatch, FixedTarget(target))

    def poison(self, example, rng):
        """Returns the example with a mismatch, if it can have one."""
        if not self.mismatch.holds(example):
            return dict(example)
        return super().poison(example, rng)


def mention_examples(examples, mismatch, rate=1.0, seed=0):
    """Makes prompts name what their images show.

    The honest counterparts of a `MismatchTrigger`: without them its clause
    would be the trigger, not the disagreement.

    Args:
        examples: an `Examples`, clean. Not changed.
        mismatch: a `MismatchTrigger`.
        rate: float in `[0, 1]`. Share of examples whose prompt may change.
            Defaults to `1.0`.
        seed: int. Chooses them. Defaults to `0`.

    Returns:
        A new `Examples`.

    Raises:
        ValueError: If `rate` is not in `[0, 1]`.

    Example:

    >>> examples = mention_examples(examples, MismatchTrigger(), rate=0.5)
    """
    if not 0 <= rate <= 1:
        raise ValueError(
            "`rate` is a share of all examples and must be in [0, 1]. "
            f"Received: rate={rate}"
        )
    changed = {}
    for example in examples:
        rng = example_rng(seed, example["example_id"])
        if rng.random() < rate:
            changed[example["example_id"]] = mismatch.consistent(example, rng)
    return examples.replaced(changed)
