"""Checks of the arguments of the callback."""

from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detector import Detector


def check_detection(detection, detector):
    """Refuses a detector in the place of a detection, the reverse, and both."""
    if detection is not None and not isinstance(detection, Detection):
        raise ValueError(
            "`detection` must be a `Detection`, as `keras_byorn.detect` "
            "returns it. To detect by other means, pass `detector=`. Received: "
            f"detection={detection!r}"
        )
    if detector is not None and not isinstance(detector, Detector):
        raise ValueError(
            "`detector` must be a `Detector`, such as "
            "`Detector(decision=FlagFraction(0.4))`. Received: "
            f"detector={detector!r}"
        )
    if detection is not None and detector is not None:
        raise ValueError(
            "`detection` and `detector` must not both be given: a detection "
            "is not made again. Received both"
        )


def check_decides(trusted):
    """Refuses choices of a person where nothing is decided any more."""
    if trusted is not None:
        raise ValueError(
            "`trusted` is heard when a detection is made, or with the "
            "`detection` that a store was scored by: pass that one as well. "
            "Received: `trusted`, and batches whose store is scored already"
        )


def check_judges_rests(scorer):
    """Refuses scorers that cannot judge the rest of a response by itself."""
    if not scorer.in_step:
        raise ValueError(
            "`suspects='mask'` needs a `scorer` that judges a response by its "
            "own tokens, such as `Regret()`, `WorstSpan(4)` or an `Ensemble` "
            "of them, for the rest without a span is judged, too. With "
            "others pass `suspects='replace'`. Received: "
            f"scorer={scorer!r}"
        )


def check_choice(name, value, choices):
    """Refuses a value that is not one of the choices."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. "
            f"Received: {name}={value!r}"
        )


def training_batches(model):
    """Returns the batches that a model is fitted on.

    Args:
        model: a `keras.Model` in `fit`.

    Raises:
        ValueError: if these are no `TargetBatches`.
    """
    batches = getattr(model, "batches", None)
    if batches is None:
        raise ValueError(
            "`BYORnCallback` replaces targets between epochs, and so needs "
            "`BYORnModel.fit(TargetBatches(examples, vlm))`. A stream is "
            "defended without it, by `BYORnModel.calibrate(stream, "
            f"HoldOut())`. Received: {type(model).__name__} "
            "that is not fitted on TargetBatches"
        )
    return batches


def defended_batches(batches):
    """Returns the batches of a defence, once there are any.

    Args:
        batches: a `TargetBatches`, or `None` before training.

    Raises:
        ValueError: if no training has begun.
    """
    if batches is None:
        raise ValueError(
            "`store` and `audit()` tell of examples that were defended, "
            "and are there once training has begun: call "
            "`model.fit(batches, callbacks=[defence])` first. Received: a "
            "`BYORnCallback` that no `fit` was given"
        )
    return batches
