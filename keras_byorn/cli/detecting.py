"""The detector that a command line names, and its run."""

from keras_byorn.detection import scorers
from keras_byorn.detection.decisions import (
    FlagFraction,
    HoldOut,
    MixtureThreshold,
)
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference

DECISIONS = {"hold_out": HoldOut, "mixture": MixtureThreshold}


def detector_of(args, verbose=0):
    """Makes the detector.

    Args:
        args: namespace with `decision`, `scorer`, `score_cache` and `seed`.
        verbose: 0 or 1, see `Detector`.

    Returns:
        A `Detector`.
    """
    if isinstance(args.decision, float):
        decision = FlagFraction(args.decision)
    else:
        decision = DECISIONS[args.decision]()
    chosen = [_scorer(name) for name in args.scorer or ()]
    if len(chosen) > 1:
        chosen = [scorers.Ensemble(chosen)]
    return Detector(
        scorer=chosen[0] if chosen else None,
        decision=decision,
        score_cache=args.score_cache,
        seed=args.seed,
        verbose=verbose,
    )


def detect(prepared, vlm, args, trusted):
    """Detects without training, with progress bars and no words.

    Args:
        prepared: a `PreparedExamples`.
        vlm: the pretrained task.
        args: as for `detector_of`.
        trusted: optional trusted examples, see `keras_byorn.detect`.

    Returns:
        A `Detection`.
    """
    reference = _ShownReference(vlm, adapters_off=True)
    detector = detector_of(args)
    return detector.detect(prepared, reference, trusted=trusted)


class _ShownReference(FrozenReference):
    """Shows its progress, where the detector itself is silent."""

    def score(self, batches, verbose="auto", keep=None):
        return super().score(batches, 1, keep)


def _scorer(name):
    if name == "WorstSpan":  # as in the default ensemble
        return scorers.WorstSpan(4, scorers.Regret())
    return getattr(scorers, name)()
