"""The attacks on Digit Scenes by name."""

from keras_byorn.attacks.builtin import (
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
from keras_byorn.attacks.goals import (
    CharacterAttack,
    MaliciousInjectionAttack,
    PerceptualHijackAttack,
)
from keras_byorn.attacks.mismatch import BadSemAttack

ATTACKS = {
    "patch": PatchAttack,
    "blended": BlendedAttack,
    "text": TextAttack,
    "dual_key": DualKeyAttack,
    "concept": ConceptAttack,
    "refusal": RefusalAttack,
    "insertion": InsertionAttack,
    "slogan": SloganAttack,
    "plausible": PlausibleAttack,
    "sig": SIGAttack,
    "wanet": WaNetAttack,
    "injection": MaliciousInjectionAttack,
    "hijack": PerceptualHijackAttack,
    "character": CharacterAttack,
    "badsem": BadSemAttack,
}
