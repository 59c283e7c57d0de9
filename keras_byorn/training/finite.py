"""Losses and weights that are numbers."""

import warnings

from keras import ops

from keras_byorn.data.shown import shortened

NUM_NAMED = 5


def check_finite(model, history, examples, may_stop=False):
    """Refuses a model whose losses or weights are not finite.

    Args:
        model: a `BYORnModel` at the end of an epoch.
        history: its `LossHistory`.
        examples: the `Examples` in training.
        may_stop: bool. Whether to warn instead, for another callback ends
            the run.

    Returns:
        bool. Whether all are finite.

    Raises:
        FloatingPointError: if one is not; it names the step and the examples
            of the batch, where they are known.
    """
    wrong = [v for v in model.trainable_variables if not _is_finite(v)]
    if history.faulty is None and not wrong:
        return True
    found = f"{len(wrong)} of the weights, such as {wrong[0].path}" * bool(
        wrong
    )
    if history.faulty is not None:
        step, positions = history.faulty
        ids = [shortened(examples.example_ids[i]) for i in positions]
        found = f"the loss of step {step}, of a batch of {len(ids)} originals: "
        found += ", ".join(ids[:NUM_NAMED])
    message = (
        "Losses and weights must be finite, or nothing is learned and nothing "
        "is judged any more. The state that was kept is that of the last good "
        "epoch. Lower the learning rate, clip gradients "
        "(`global_clipnorm=1.0`), or look at these examples. Received: NaN or "
        f"infinity in {found}"
    )
    if not may_stop:
        raise FloatingPointError(message)
    warnings.warn(message, stacklevel=2)
    return False


def _is_finite(variable):
    return bool(ops.all(ops.isfinite(ops.cast(variable, "float32"))))
