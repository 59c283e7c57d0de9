"""Attacks by those who know the defence, to measure it where it is weakest."""

from keras_byorn.attacks.adaptive.flood import (
    FLOODS,
    flood_examples,
    poison_and_flood,
)
from keras_byorn.attacks.adaptive.invisible_copies import InvisibleCopiesAttack
from keras_byorn.attacks.adaptive.near_clean_label import (
    EveryColourTarget,
    NearCleanLabelAttack,
)
from keras_byorn.attacks.adaptive.own_prompt import (
    AlternatingTarget,
    OwnPromptAttack,
    OwnPromptDualKeyAttack,
    PromptTrigger,
    cover_examples,
)
from keras_byorn.attacks.adaptive.painted_contrast import (
    PaintedContrastAttack,
    painted_contrast,
)
from keras_byorn.attacks.adaptive.reference_plausibility import (
    ReferencePlausibility,
)

__all__ = [
    "FLOODS",
    "AlternatingTarget",
    "EveryColourTarget",
    "InvisibleCopiesAttack",
    "NearCleanLabelAttack",
    "OwnPromptAttack",
    "OwnPromptDualKeyAttack",
    "PaintedContrastAttack",
    "PromptTrigger",
    "ReferencePlausibility",
    "cover_examples",
    "flood_examples",
    "painted_contrast",
    "poison_and_flood",
]
