"""The defences by name."""

from keras_byorn.baselines.attention_entropy import AttentionEntropy
from keras_byorn.baselines.byorn import (
    BYORn,
    FilterOnly,
    NoDefence,
    OracleReplacement,
    PaperBYORn,
    RandomReplacement,
)
from keras_byorn.baselines.loss_isolation import LossIsolation
from keras_byorn.baselines.onion import Onion
from keras_byorn.baselines.reference_filtration import ReferenceFiltration
from keras_byorn.baselines.reference_penalty import ReferencePenalty

DEFENCES = {
    "none": NoDefence,
    "oracle": OracleReplacement,
    "random": RandomReplacement,
    "filter": FilterOnly,
    "paper": PaperBYORn,
    "ours": BYORn,
    "abl": LossIsolation,
    "kl": ReferencePenalty,
    "onion": Onion,
    "bye": AttentionEntropy,
    "rftc": ReferenceFiltration,
}


def make_defence(name, poisoned_ids=None, **settings):
    """Makes a defence, and tells the truth to none but the oracle.

    Args:
        name: string, one of `DEFENCES`.
        poisoned_ids: optional set of strings, the ground truth. Handed on only
            if the defence's `needs_truth`.
        **settings: arguments of the defence.

    Returns:
        A `Defence`.

    Raises:
        ValueError: if there is no such defence, or if it needs the truth and
            is not given it.

    Example:

    >>> make_defence("oracle", poisoned_ids)
    >>> make_defence("filter", poisoned_ids, flag_fraction=0.2)
    """
    if name not in DEFENCES:
        raise ValueError(
            f"`name` must be one of {', '.join(DEFENCES)}. Received: "
            f"name={name!r}"
        )
    kind = DEFENCES[name]
    if not kind.needs_truth:
        return kind(**settings)
    if poisoned_ids is None:
        raise ValueError(
            f"`poisoned_ids` must be given for {name!r}, which knows the "
            "poison: pass the ids that `poison_examples` returned. Received: "
            "poisoned_ids=None"
        )
    return kind(poisoned_ids, **settings)
