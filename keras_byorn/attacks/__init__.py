"""Simulated backdoor attacks, to measure a defence."""

from keras_byorn.attacks import adaptive
from keras_byorn.attacks.attack import Attack
from keras_byorn.attacks.builtin import (
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
from keras_byorn.attacks.clean_label import (
    CleanLabelAttack,
    clean_label_examples,
)
from keras_byorn.attacks.combined_trigger import CombinedTrigger
from keras_byorn.attacks.goals import (
    CharacterAttack,
    MaliciousInjectionAttack,
    PerceptualHijackAttack,
)
from keras_byorn.attacks.image_triggers import (
    BlendTrigger,
    PatchTrigger,
    SinusoidTrigger,
    TintTrigger,
    WarpTrigger,
)
from keras_byorn.attacks.mismatch import (
    BadSemAttack,
    MismatchTrigger,
    mention_examples,
)
from keras_byorn.attacks.optimised import OptimisedAttack, OptimisedTrigger
from keras_byorn.attacks.poisoning import poison_examples
from keras_byorn.attacks.prompt_triggers import CharacterTrigger, WordTrigger
from keras_byorn.attacks.registry import ATTACKS
from keras_byorn.attacks.semantic_triggers import EqualDigitsTrigger
from keras_byorn.attacks.targets import (
    ConceptTarget,
    FixedTarget,
    InsertionTarget,
    SloganTarget,
)
from keras_byorn.attacks.word_swaps import (
    HE_TO_SHE,
    WordSwapAttack,
    WordSwapTarget,
)

__all__ = [
    "ATTACKS",
    "HE_TO_SHE",
    "Attack",
    "Backdoor",
    "BadSemAttack",
    "BlendTrigger",
    "BlendedAttack",
    "CharacterAttack",
    "CharacterTrigger",
    "CleanLabelAttack",
    "CombinedTrigger",
    "ConceptAttack",
    "ConceptTarget",
    "DualKeyAttack",
    "EqualDigitsTrigger",
    "FixedTarget",
    "InsertionAttack",
    "InsertionTarget",
    "MaliciousInjectionAttack",
    "MismatchTrigger",
    "OptimisedAttack",
    "OptimisedTrigger",
    "PatchAttack",
    "PatchTrigger",
    "PerceptualHijackAttack",
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
    "WordSwapAttack",
    "WordSwapTarget",
    "WordTrigger",
    "adaptive",
    "clean_label_examples",
    "mention_examples",
    "poison_examples",
]
