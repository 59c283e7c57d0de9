"""Simulated backdoor attacks, to measure a defence with."""

from keras_byorn.attacks.attack import Attack
from keras_byorn.attacks.builtin import (
    ATTACKS,
    Backdoor,
    BlendedAttack,
    ConceptAttack,
    DualKeyAttack,
    PatchAttack,
    RefusalAttack,
    TextAttack,
)
from keras_byorn.attacks.poisoning import poison_examples
from keras_byorn.attacks.targets import ConceptTarget, FixedTarget
from keras_byorn.attacks.triggers import (
    BlendTrigger,
    CombinedTrigger,
    PatchTrigger,
    WordTrigger,
)

__all__ = [
    "ATTACKS",
    "Attack",
    "Backdoor",
    "BlendTrigger",
    "BlendedAttack",
    "CombinedTrigger",
    "ConceptAttack",
    "ConceptTarget",
    "DualKeyAttack",
    "FixedTarget",
    "PatchAttack",
    "PatchTrigger",
    "RefusalAttack",
    "TextAttack",
    "WordTrigger",
    "poison_examples",
]
