"""The one interface of all defences: a task and examples in, a fit out."""

import dataclasses
import typing

import numpy as np

from keras_byorn.audit import Audit
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.evaluation.responses import responder
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_batches import TargetBatches


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """Settings of a fine-tune that every defence shares.

    Args:
        make_optimizer: callable without arguments that returns a new Keras
            optimizer. A defence that trains more than once calls it for each
            training.
        epochs: int. Passes over the examples. Defaults to 3.
        batch_size: optional int. Defaults to that of prepared examples, or 16.
        seed: int. Of the order of the examples and of all that a defence
            draws. Defaults to 0.
        verbose: 0 or 1. Whether to show progress. Defaults to 0.

    Example:

    >>> options = FitOptions(
    ...     lambda: keras.optimizers.AdamW(1e-3, use_ema=True), epochs=4
    ... )
    """

    make_optimizer: typing.Callable
    epochs: int = 3
    batch_size: int | None = None
    seed: int = 0
    verbose: int = 0


def _unchanged(examples):
    return examples


@dataclasses.dataclass
class DefendedFit:
    """A task that was fine-tuned with a defence, and what the defence did.

    Args:
        vlm: the KerasHub task, tuned in place.
        store: the `TargetStore` of the examples. Its `plausibility` is what
            the defence ranks them by, low is suspicious; NaN where it ranks
            nothing. Its `suspect_probability` are the flags at the end.
        examples: the `Examples`, as they were given.
        detection: optional `Detection`, of defences that make one.
        history: dict from names to lists of floats, one for each epoch, of
            the last training of all examples that are kept.
        details: dict of names to numbers and texts, the defence's own.
        clean_inputs: callable from a list of examples to the examples as the
            tuned task is to see them, for defences that also filter inputs. By
            default they stay as they are.

    Example:

    >>> fit = DEFENCES["onion"]().fit(vlm, examples, options)
    >>> fit.responder()([examples[0]])
    ['a red three left of a blue seven']
    """

    vlm: typing.Any
    store: typing.Any
    examples: typing.Any
    detection: typing.Any = None
    history: dict = dataclasses.field(default_factory=dict)
    details: dict = dataclasses.field(default_factory=dict)
    clean_inputs: typing.Callable = _unchanged

    def responder(self, batch_size=128, length=None):
        """Makes a function from examples to responses, the defence in place.

        Args:
            batch_size, length: as of `evaluation.responder`.

        Returns:
            A callable from a list of example dicts to a list of strings.
        """
        generate = responder(self.vlm, batch_size, length)

        def respond(examples):
            return generate(self.clean_inputs(examples))

        return respond

    def audit(self):
        """Accounts for the defence: suspects, reasons and replacements.

        Returns:
            An `Audit`.
        """
        evidence = self.detection.audit_columns() if self.detection else {}
        return Audit(self.store, self.examples, notes=self.details, **evidence)


class Defence:
    """Base class: fine-tunes a task on examples that it may not trust.

    A subclass implements `fit_prepared`.

    Attributes:
        needs_truth: bool. Whether the constructor takes the ids of the
            poisoned examples first, which no defence in the world can know.

    Example:

    ```python
    class FirstHalf(Defence):
        def fit_prepared(self, vlm, prepared, options):
            second_half = np.arange(len(prepared)) >= len(prepared) // 2
            return fit_without(second_half, None, vlm, prepared, options)
    ```
    """

    needs_truth = False

    def fit(self, vlm, examples, options):
        """Fine-tunes a task in place, defended.

        Args:
            vlm: a KerasHub vision-language task, not tuned yet.
            examples: an `Examples`, or a `PreparedExamples` of this task.
            options: a `FitOptions`.

        Returns:
            A `DefendedFit`.

        Raises:
            ValueError: if an example is not fit for training, or if the
                defence refuses the data.
        """
        prepared = PreparedExamples.of(
            examples, vlm, options.batch_size, verbose=options.verbose
        )
        return self.fit_prepared(vlm, prepared, options)

    def fit_prepared(self, vlm, prepared, options):
        """Fine-tunes a task on prepared examples. A subclass implements it."""
        raise NotImplementedError

    def __repr__(self):
        settings = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({settings})"


def batches_for(vlm, prepared, options):
    """Returns new `TargetBatches`, with all original responses."""
    return TargetBatches(prepared, vlm, seed=options.seed)


def train(model, batches, options, epochs=None, callbacks=(), optimizer=None):
    """Trains a model for some epochs, with a new optimizer.

    Args:
        model: a `BYORnModel`.
        batches: its `TargetBatches`.
        options: a `FitOptions`.
        epochs: optional int. Defaults to that of the options.
        callbacks: sequence of callbacks.
        optimizer: optional Keras optimizer. Defaults to a new one.

    Returns:
        A dict from names to lists of floats, one for each epoch.
    """
    model.compile(optimizer=optimizer or options.make_optimizer())
    # Another optimizer, or another loss, is another program.
    model.train_function = None
    history = model.fit(
        batches,
        epochs=options.epochs if epochs is None else epochs,
        callbacks=list(callbacks),
        verbose=2 if options.verbose else 0,
    )
    return history.history


def fit_without(suspect, ranking, vlm, prepared, options, **details):
    """Fine-tunes on the examples that are not suspect.

    Args:
        suspect: bool array, `(N,)`.
        ranking: optional float array, `(N,)`, low is suspicious. Defaults to
            NaN.
        vlm, prepared, options: as of `Defence.fit_prepared`.
        **details: numbers and texts for `DefendedFit.details`.

    Returns:
        A `DefendedFit`.

    Raises:
        ValueError: if every example is suspect.
    """
    batches = batches_for(vlm, prepared, options)
    if ranking is None:
        ranking = np.full(len(prepared), np.nan, "float32")
    batches.store.set_scores(ranking, np.asarray(suspect, "float32"))
    history = train(BYORnModel(vlm), batches, options)
    return DefendedFit(
        vlm=vlm,
        store=batches.store,
        examples=prepared.examples,
        history=history,
        details=details,
    )
