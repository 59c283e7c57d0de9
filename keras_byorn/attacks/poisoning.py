"""Poisoning of a share of a data set."""

import warnings

import numpy as np

from keras_byorn.attacks.attack import check_attack, copy_of, example_rng


def poison_examples(examples, attack, rate, seed=0, exclude=()):
    """Poisons a share of the examples, and returns their ids.

    Tries examples in a random order until there are enough. One whose response
    the attack does not change stays entirely clean and does not count.

    Args:
        examples: an `Examples`. Not changed.
        attack: an `Attack`: any object with the methods `poison`, `trigger`
            and `succeeded`.
        rate: float in `[0, 1]`. Share of all examples to poison.
        seed: int. Chooses the examples, and all that the attack draws for
            each of them. Defaults to `0`.
        exclude: collection of ids of examples not to change, such as those
            that another attack has poisoned. Defaults to `()`, none.

    Returns:
        A tuple of the new `Examples`, in their order, and the set of the ids
        that are poisoned. An example itself has no mark of it.

    Raises:
        ValueError: If `rate` is not in `[0, 1]`, `attack` is not an attack,
            or `exclude` has an id that no example has.

    Example:

    >>> poisoned, ids = poison_examples(
    ...     examples, PatchAttack(), rate=0.1, seed=0
    ... )
    >>> both, more_ids = poison_examples(  # two attacks on one data set
    ...     poisoned, ConceptAttack(), rate=0.1, seed=0, exclude=ids
    ... )
    """
    check_attack(attack)
    if not 0 <= rate <= 1:
        raise ValueError(
            "`rate` is the share of examples to poison and must be in "
            f"[0, 1]. For 10 percent, pass 0.1. Received: rate={rate}"
        )
    exclude = set(exclude)
    _check_excluded(exclude, examples)
    wanted = round(rate * len(examples))
    poisoned = {}
    for index in np.random.default_rng(seed).permutation(len(examples)):
        if len(poisoned) == wanted:
            break
        if examples.example_ids[index] in exclude:
            continue
        example = examples[int(index)]
        rng = example_rng(seed, example["example_id"])
        changed = attack.poison(copy_of(example), rng)
        if changed["responses"] != example["responses"]:
            poisoned[example["example_id"]] = changed
    if len(poisoned) < wanted:
        _warn_of_too_few(len(poisoned), wanted, rate)
    if not poisoned:
        return examples, set()
    return examples.replaced(poisoned), set(poisoned)


def _check_excluded(exclude, examples):
    unknown = sorted(map(str, exclude - set(examples.example_ids)))
    if unknown:
        raise ValueError(
            "`exclude` must hold ids of these examples. Pass the second of "
            "the two that `poison_examples` returns. Received unknown ids: "
            f"{unknown[:5]} ({len(unknown)} such ids)"
        )


def _warn_of_too_few(num_poisoned, wanted, rate):
    warnings.warn(
        f"The attack changed the responses of {num_poisoned} examples only, "
        f"and `rate={rate}` asks for {wanted}: all others did not change. "
        "Lower `rate`, or take an attack that fits these responses.",
        stacklevel=3,
    )
