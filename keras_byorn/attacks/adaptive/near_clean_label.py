"""Poison whose false responses the pretrained model nearly believes."""

import dataclasses
import re

import numpy as np

from keras_byorn.attacks.attack import copy_of, example_rng
from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.image_triggers import PatchTrigger
from keras_byorn.attacks.targets import ConceptTarget


@dataclasses.dataclass(frozen=True)
class EveryColourTarget(ConceptTarget):
    """Replaces every colour of the right response by one colour.

    Args:
        colour: string. The colour to say. Defaults to `"green"`.
        colours: sequence of strings, see `ConceptTarget`.

    Example:

    >>> EveryColourTarget()("a red three left of a blue seven")
    'a green three left of a green seven'

    Reference:
        - adaptive, against this package
    """

    def __call__(self, response, rng=None):
        words = "|".join(map(re.escape, self.colours))
        return re.sub(
            rf"\b({words})\b", self.colour, response, flags=re.IGNORECASE
        )


class NearCleanLabelAttack(Backdoor):
    """Makes a patch call up the falsest response that is nearly plausible.

    Of several targets, each example gets the first whose plausibility under
    the public reference is within `margin` of that of the right response; an
    example that has none cannot be poisoned. Examples that were not scored,
    such as those of a test, get the last target.

    Args:
        score: a callable from a list of examples to their plausibility, a
            float array in nats per token, such as a `ReferencePlausibility`.
        examples: an `Examples`, clean, that will be poisoned.
        margin: float, nats per token. Greatest loss of plausibility. Defaults
            to `1.0`.
        targets: sequence of targets, the falsest first; the response is wrong
            in the most words there. Defaults to every colour green, then the
            first.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.
        seed: int. Of what trigger and targets draw. Defaults to `0`.

    Raises:
        ValueError: If `margin` is negative or `targets` is empty.

    Attributes:
        responses: dict from the ids of those that can be poisoned to the
            chosen responses.

    Example:

    >>> attack = NearCleanLabelAttack(
    ...     ReferencePlausibility(vlm), examples, margin=0.5
    ... )
    >>> poisoned, ids = poison_examples(examples, attack, rate=0.1)

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), adaptive
          attacks
    """

    def __init__(
        self, score, examples, margin=1.0, targets=None, patch=None, seed=0
    ):
        if not margin >= 0:
            raise ValueError(
                "`margin` is the greatest loss of plausibility, in nats per "
                "token, and must be at least 0. Take, say, 1.0. "
                f"Received: margin={margin}"
            )
        if targets is None:
            targets = (EveryColourTarget(), ConceptTarget())
        if not targets:
            raise ValueError(
                "`targets` must be one target or more, the falsest first. "
                f"Received: targets={targets!r}"
            )
        self._targets = tuple(targets)
        super().__init__(patch or PatchTrigger(), self._targets[-1])
        self._scored = set(examples.example_ids)
        self.responses = self._chosen(score, examples, margin, seed)

    def poison(self, example, rng):
        """Returns the example with the patch and its nearly plausible target.

        Unchanged if it was scored and no target is plausible enough.
        """
        example_id = example["example_id"]
        if example_id not in self._scored:
            return super().poison(example, rng)
        if example_id not in self.responses:
            return dict(example)
        triggered = self.trigger(example, rng)
        return {**triggered, "responses": self.responses[example_id]}

    def succeeded(self, response, example):
        """Returns whether a response reaches one of the targets."""
        reference = example["responses"]
        return any(t.reached(response, reference) for t in self._targets)

    def _chosen(self, score, examples, margin, seed):
        """Chooses the response of each example, a dict."""
        rows, owners = [], []
        for example in examples:
            rng = example_rng(seed, example["example_id"])
            triggered = self.trigger(copy_of(example), rng)
            right = example["responses"]
            texts = [right, *(target(right, rng) for target in self._targets)]
            for rank, text in enumerate(texts):
                if rank == 0 or text != right:
                    rows.append({**triggered, "responses": text})
                    owners.append((example["example_id"], rank))
        # The right response is scored with the trigger, as the wrong ones.
        scores = np.asarray(score(rows), "float64")
        right = {i: s for (i, rank), s in zip(owners, scores) if rank == 0}
        chosen = {}
        for (example_id, rank), row, value in zip(owners, rows, scores):
            if rank and value >= right[example_id] - margin:
                chosen.setdefault(example_id, row["responses"])
        return chosen
