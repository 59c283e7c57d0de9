"""Simulated backdoor attacks, to measure a defence."""

from keras_byorn.attacks import adaptive
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
from keras_byorn.attacks.combined_trigger import CombinedTrigger
from keras_byorn.attacks.image_triggers import (
    BlendTrigger,
    PatchTrigger,
    SinusoidTrigger,
    TintTrigger,
    WarpTrigger,
)
from keras_byorn.attacks.optimised import OptimisedAttack, OptimisedTrigger
from keras_byorn.attacks.poisoning import poison_examples
from keras_byorn.attacks.prompt_triggers import WordTrigger
from keras_byorn.attacks.semantic_triggers import EqualDigitsTrigger
from keras_byorn.attacks.targets import (
    ConceptTarget,
    FixedTarget,
    InsertionTarget,
    SloganTarget,
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
    "adaptive",
    "poison_examples",
]
