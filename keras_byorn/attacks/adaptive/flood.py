"""Floods: wrong responses beside the poison, to blunt a defence."""

from keras_byorn.attacks.adaptive.shares import draw_ids
from keras_byorn.attacks.attack import example_rng
from keras_byorn.attacks.checks import check_choice
from keras_byorn.attacks.poisoning import poison_examples

FLOODS = ("letters", "words", "gibberish", "near_misses")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")


def flood_examples(examples, rate, kind="gibberish", seed=0, exclude=()):
    """Gives a share of the examples wrong responses, without any trigger.

    They teach no backdoor. They take up what a defence can flag, fill the
    valley between poisoned and clean scores, and shift what is usual.

    Args:
        examples: an `Examples`. Not changed.
        rate: float in `[0, 1]`. Share of all examples to flood.
        kind: string. `"letters"`, two to four strings of random letters;
            `"words"`, words of all responses at random, as many as in the
            right response; `"gibberish"`, one of the two, each as likely; or
            `"near_misses"`, the right response with one or two words wrong.
            Defaults to `"gibberish"`.
        seed: int. Chooses the examples and their responses. Defaults to `0`.
        exclude: collection of ids of examples not to change, such as the
            poisoned ones. Defaults to `()`, none.

    Returns:
        A tuple of the new `Examples`, in their order, and the set of the ids
        that are flooded.

    Raises:
        ValueError: If `kind` is none of these, `rate` is not in `[0, 1]`, or
            too few examples are left.

    Example:

    >>> flooded, flood_ids = flood_examples(
    ...     poisoned, rate=0.35, kind="near_misses", exclude=ids
    ... )

    Reference:
        - adaptive, against this package
    """
    check_choice("kind", kind, FLOODS)
    honest = [
        e["responses"] for e in examples if e["example_id"] not in exclude
    ]
    responses = _Responses(honest)
    flooded = {}
    for example_id in draw_ids(examples, rate, seed, exclude):
        example = examples.by_id(example_id)
        rng = example_rng(seed, example_id)
        wrong = getattr(responses, kind)(example["responses"], rng)
        flooded[example_id] = {**example, "responses": wrong}
    return examples.replaced(flooded), set(flooded)


def poison_and_flood(
    examples, attack, rate, flood_rate, kind="gibberish", seed=0
):
    """Poisons a share of the examples, and floods another.

    Args:
        examples: an `Examples`. Not changed.
        attack: an `Attack`.
        rate: float in `[0, 1]`. Share of all examples to poison.
        flood_rate: float in `[0, 1]`. Share of all examples to flood.
        kind: string, see `flood_examples`. Defaults to `"gibberish"`.
        seed: int. Defaults to `0`.

    Returns:
        A tuple of the new `Examples`, the set of the ids that are poisoned,
        and the set of the ids that are flooded, which has none of these.

    Raises:
        ValueError: As `poison_examples` and `flood_examples`.

    Example:

    >>> examples, poisoned_ids, flood_ids = poison_and_flood(
    ...     examples, PatchAttack(), rate=0.1, flood_rate=0.35
    ... )

    Reference:
        - adaptive, against this package
    """
    examples, poisoned_ids = poison_examples(examples, attack, rate, seed)
    examples, flood_ids = flood_examples(
        examples, flood_rate, kind, seed, exclude=poisoned_ids
    )
    return examples, poisoned_ids, flood_ids


class _Responses:
    """Makes wrong responses out of right ones, a method for each kind.

    Args:
        responses: list of strings.
    """

    def __init__(self, responses):
        self._by_length = {}
        for words in map(str.split, responses):
            self._by_length.setdefault(len(words), []).append(words)
        self._words = sorted({w for r in responses for w in r.split()})

    def letters(self, response, rng):
        lengths = rng.integers(2, 6, size=rng.integers(2, 5))
        return " ".join("".join(rng.choice(LETTERS, n)) for n in lengths)

    def words(self, response, rng):
        count = max(2, len(response.split()))
        while True:
            wrong = " ".join(rng.choice(self._words, count))
            if wrong != response or len(self._words) < 2:
                return wrong

    def gibberish(self, response, rng):
        kind = self.letters if rng.random() < 0.5 else self.words
        return kind(response, rng)

    def near_misses(self, response, rng):
        """Takes one or two words of responses with as many words."""
        words = response.split()
        pools = [
            sorted({other[place] for other in self._by_length[len(words)]})
            for place in range(len(words))
        ]
        free = [i for i, pool in enumerate(pools) if len(pool) > 1]
        if not free:
            return self.words(response, rng)
        count = min(len(free), int(rng.integers(1, 3)))
        for place in rng.choice(free, count, replace=False):
            others = [w for w in pools[place] if w != words[place]]
            words[place] = str(rng.choice(others))
        return " ".join(words)
