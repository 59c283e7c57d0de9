"""Simulated backdoor attacks, to measure a defence with."""

from keras_byorn.attacks.attack import Attack
from keras_byorn.attacks.builtin import (
    ATTACKS,
    Backdoor,
    BlendedAttack,
    ConceptAttack,
    DualKeyAttack,
    InsertionAttack,
    PatchAttack,
    PlausibleAttack,
    RefusalAttack,
    SIGAttack,
    SloganAttack,
    TextAttack,
    WaNetAttack,
)
from keras_byorn.attacks.optimised import OptimisedAttack, OptimisedTrigger
from keras_byorn.attacks.poisoning import poison_examples
from keras_byorn.attacks.targets import (
    ConceptTarget,
    FixedTarget,
    InsertionTarget,
    SloganTarget,
)
from keras_byorn.attacks.triggers import (
    BlendTrigger,
    CombinedTrigger,
    EqualDigitsTrigger,
    PatchTrigger,
    SinusoidTrigger,
    TintTrigger,
    WarpTrigger,
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
    "EqualDigitsTrigger",
    "FixedTarget",
    "InsertionAttack",
    "InsertionTarget",
    "OptimisedAttack",
    "OptimisedTrigger",
    "PatchAttack",
    "PatchTrigger",
    "PlausibleAttack",
    "RefusalAttack",
    "SIGAttack",
    "SinusoidTrigger",
    "SloganAttack",
    "SloganTarget",
    "TextAttack",
    "TintTrigger",
    "WaNetAttack",
    "WarpTrigger",
    "WordTrigger",
    "poison_examples",
]
