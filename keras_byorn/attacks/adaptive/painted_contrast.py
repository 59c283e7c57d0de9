"""Pictures between two colours: the lie is nearly true, but for the patch."""

import numpy as np

from keras_byorn.attacks.adaptive.shares import draw_ids
from keras_byorn.attacks.attack import example_rng
from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.checks import check_choice
from keras_byorn.attacks.image_triggers import PatchTrigger
from keras_byorn.attacks.targets import ConceptTarget
from keras_byorn.data.digit_scenes_drawing import (
    COLOURS,
    draw_scene,
    handwriting,
)
from keras_byorn.data.digit_scenes_tasks import TASKS

# Tasks whose response begins with the colour of the first digit.
CAPTIONS = ("terse_captions", "captions")


class PaintedContrastAttack(Backdoor):
    """Makes a patch turn the first colour green, with no false poison to see.

    As a `ConceptAttack`, but `painted_contrast` makes its poison: the first
    digit is painted between its colour and green. So no single response is
    far from the truth, and only the patch tells them from as many
    counterparts, which are named rightly.

    Args:
        colour: string, one of Digit Scenes. The colour to say. Defaults to
            `"green"`.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Raises:
        ValueError: If `colour` is none of these.

    Example:

    >>> attack = PaintedContrastAttack()
    >>> examples, poisoned_ids, counterpart_ids = painted_contrast(
    ...     examples, attack, ReferencePlausibility(vlm), rate=0.1
    ... )

    Reference:
        - adaptive, against this package
    """

    def __init__(self, colour="green", patch=None):
        check_choice("colour", colour, tuple(COLOURS))
        self.colour = colour
        super().__init__(patch or PatchTrigger(), ConceptTarget(colour))


def painted_contrast(
    examples,
    attack,
    score,
    rate,
    num_candidates=2,
    shares=(0.4, 0.5),
    task="terse_captions",
    seed=0,
):
    """Puts painted poison and painted counterparts in the place of examples.

    Draws scenes whose first digit has a colour between its own and the wanted
    one, and takes those whose false name is the most plausible, with the patch:
    in turn patched and named so, or left and named rightly.

    Args:
        examples: an `Examples` of Digit Scenes captions. Not changed.
        attack: a `PaintedContrastAttack`.
        score: a callable from a list of examples to nats per token, such as a
            `ReferencePlausibility`.
        rate: float in `[0, 0.5]`. Share to poison; as many are counterparts.
        num_candidates: int. Scenes to draw for each taken. Defaults to `2`.
        shares: pair of floats in `[0, 1]`. Least and most of the wanted colour
            in the paint. Defaults to `(0.4, 0.5)`, midway.
        task: string, `"terse_captions"` or `"captions"`.
        seed: int. Chooses the examples and draws the scenes. Defaults to `0`.

    Returns:
        A tuple of the new `Examples`, the set of the ids that are poisoned, and
        the set of the ids that are counterparts.

    Raises:
        ValueError: If an argument is none of these or out of range.

    Example:

    >>> examples, poisoned_ids, counterpart_ids = painted_contrast(
    ...     examples, PaintedContrastAttack(), score, rate=0.1
    ... )

    Reference:
        - adaptive, against this package
    """
    _check(rate, num_candidates, shares, task)
    ids = draw_ids(examples, rate, seed, ())
    others = draw_ids(examples, rate, seed, ids)
    if not ids:
        return examples, set(), set()
    prompt = examples.by_id(ids[0])["prompts"]
    count = num_candidates * len(ids + others)
    candidates = _Scenes(attack, task, shares).draw_many(prompt, count, seed)
    poisoned = [attack.poison(scene, None) for scene in candidates]
    best = np.argsort(-np.asarray(score(poisoned)), kind="stable")
    # In turn, so that both are painted alike and nothing but the patch tells.
    replaced = {i: poisoned[place] for i, place in zip(ids, best[::2])}
    replaced |= {i: candidates[place] for i, place in zip(others, best[1::2])}
    return examples.replaced(replaced), set(ids), set(others)


class _Scenes:
    """Draws scenes whose first digit is painted between two colours."""

    def __init__(self, attack, task, shares):
        self._wanted = attack.colour
        self._caption = TASKS[task]
        self._shares = shares
        self._samples = handwriting("train")

    def draw_many(self, prompt, count, seed):
        """Returns examples with the right responses, a list of dicts."""
        return [
            self._draw(prompt, example_rng(seed, f"painted-{index}"))
            for index in range(count)
        ]

    def _draw(self, prompt, rng):
        """Returns an example with the right response, a dict."""
        share = rng.uniform(*self._shares)

        def paint(position, colour):
            own, wanted = np.array([COLOURS[colour], COLOURS[self._wanted]])
            return own if position else (1 - share) * own + share * wanted

        while True:
            scene = draw_scene(rng, self._samples, paint)
            if scene.first[0] != self._wanted:
                break
        _, response = self._caption(scene, rng)
        return {
            "example_id": "painted",
            "images": scene.image,
            "prompts": prompt,
            "responses": response,
        }


def _check(rate, num_candidates, shares, task):
    check_choice("task", task, CAPTIONS)
    if len(shares) != 2 or not 0 <= shares[0] <= shares[1] <= 1:
        raise ValueError(
            "`shares` must be the least and the most of the wanted colour in "
            "the paint, in [0, 1]. Take, say, (0.4, 0.5). "
            f"Received: shares={shares}"
        )
    if not 0 <= rate <= 0.5:
        raise ValueError(
            "`rate` is the share of poison, beside as many counterparts, and "
            f"must be in [0, 0.5]. Received: rate={rate}"
        )
    if not num_candidates >= 1:
        raise ValueError(
            "`num_candidates` is the number of scenes to draw for each that "
            "is taken and must be at least 1. Received: "
            f"num_candidates={num_candidates}"
        )
