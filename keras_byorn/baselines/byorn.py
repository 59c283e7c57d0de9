"""Defences made of `BYORnCallback`, ours and those that differ in one part."""

from keras_byorn.baselines.defence import (
    Defence,
    DefendedFit,
    batches_for,
    fit_without,
    train,
)
from keras_byorn.baselines.flags import OracleFlags, RandomFlags
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel

PAPER_FRACTION = 0.4


class NoDefence(Defence):
    """Fine-tunes on all examples as they came, the undefended case.

    Example:

    >>> NoDefence().fit(vlm, examples, options).history["loss"]
    [1.9, 0.8, 0.5]
    """

    def fit_prepared(self, vlm, prepared, options):
        nothing = [False] * len(prepared)
        return fit_without(nothing, None, vlm, prepared, options)


class CallbackDefence(Defence):
    """Base class: fine-tunes with a `BYORnCallback`.

    A subclass implements `callback(options)`.
    """

    def callback(self, options):
        """Returns a new `BYORnCallback`. A subclass implements it.

        Args:
            options: a `FitOptions`.
        """
        raise NotImplementedError

    def fit_prepared(self, vlm, prepared, options):
        callback = self.callback(options)
        batches = batches_for(vlm, prepared, options)
        history = train(BYORnModel(vlm), batches, options, callbacks=[callback])
        return DefendedFit(
            vlm=vlm,
            store=callback.store,
            examples=prepared.examples,
            detection=callback.detection,
            history=history,
            details={"detector": repr(callback.detector)},
        )


class BYORn(CallbackDefence):
    """Defends with the defaults of this package.

    The optimizer must keep an average: `use_ema=True`.

    Args:
        decision: optional decision, see `Detector`. Defaults to `HoldOut()`.
        **settings: further arguments of `BYORnCallback`.

    Example:

    >>> BYORn(FlagFraction(0.2)).fit(vlm, examples, options)

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947)
    """

    def __init__(self, decision=None, **settings):
        self.decision = decision
        self.settings = settings

    def callback(self, options):
        shared = {"seed": options.seed, "verbose": options.verbose}
        detector = Detector(decision=self.decision, **shared)
        settings = {"detector": detector, **shared, **self.settings}
        if settings.get("detection") is not None:
            del settings["detector"]
        return BYORnCallback(**settings)


class PaperBYORn(CallbackDefence):
    """Defends as the paper does, as far as its settings are known.

    The least plausible 40 % by mean log-likelihood are suspect for good, and
    samples from the average of the student replace them. The optimizer must
    keep an average: `use_ema=True`.

    Args:
        flag_fraction: float in [0, 1). Share of suspects. Defaults to 0.4.
        **settings: further arguments of `BYORnCallback`.

    Example:

    >>> PaperBYORn(flag_fraction=0.05).fit(vlm, examples, options)

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947)
    """

    kind = Detector

    def __init__(self, flag_fraction=PAPER_FRACTION, **settings):
        self.flag_fraction = flag_fraction
        self.settings = settings

    def callback(self, options):
        shared = {"seed": options.seed, "verbose": options.verbose}
        detector = self.detector(
            scorer=MeanLogLikelihood(),
            decision=FlagFraction(self.flag_fraction),
            flag_copies=False,
            **shared,
        )
        settings = {"detector": detector, **shared, **self.settings}
        return BYORnCallback.paper(**settings)

    def detector(self, **settings):
        """Returns the detector of these settings."""
        return self.kind(**settings)


class FilterOnly(PaperBYORn):
    """Leaves out what the paper flags, and replaces nothing.

    Against `PaperBYORn` it tells what the model's own responses add.

    Args:
        flag_fraction: float in [0, 1). Share of suspects. Defaults to 0.4.
        **settings: further arguments of `BYORnCallback`.

    Example:

    >>> FilterOnly(flag_fraction=0.2).fit(vlm, examples, options)

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), the
          filtering of its ablation
    """

    def __init__(self, flag_fraction=PAPER_FRACTION, **settings):
        super().__init__(flag_fraction, **{"teacher": "none", **settings})


class RandomReplacement(PaperBYORn):
    """Replaces as many responses as the paper does, but any of them.

    Against `PaperBYORn` it tells detection from regularisation.

    Args:
        flag_fraction: float in [0, 1). Share of suspects. Defaults to 0.4.
        **settings: further arguments of `BYORnCallback`.

    Example:

    >>> RandomReplacement(flag_fraction=0.2).fit(vlm, examples, options)

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), with
          `RandomFlags`
    """

    kind = RandomFlags


class OracleReplacement(PaperBYORn):
    """Replaces the poisoned responses, and no other.

    The upper end of every comparison, for no defence can know them.

    Args:
        poisoned_ids: set of strings. The ground truth.
        **settings: further arguments of `BYORnCallback`.

    Raises:
        ValueError: in `fit`, if an id is not among the examples'.

    Example:

    >>> OracleReplacement(poisoned_ids).fit(vlm, examples, options)

    Reference:
        - [Sabolić et al., 2026](https://arxiv.org/abs/2606.02947), with
          `OracleFlags`
    """

    needs_truth = True

    def __init__(self, poisoned_ids, **settings):
        super().__init__(**settings)
        self.poisoned_ids = frozenset(poisoned_ids)

    def detector(self, **settings):
        return OracleFlags(self.poisoned_ids, **settings)

    def __repr__(self):
        return f"OracleReplacement({len(self.poisoned_ids)} ids)"
