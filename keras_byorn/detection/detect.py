"""Detection without training, in one call."""

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference


def detect(
    examples,
    vlm,
    detector=None,
    batch_size=None,
    trusted=None,
    control_tokens="warn",
):
    """Finds the examples whose responses are implausible to a model.

    Nothing is trained, and `vlm` stays as it is: it is its own reference, with
    its adapters off where it has any.

    Args:
        examples: an `Examples`, what `Examples(...)` takes, or a
            `PreparedExamples`.
        vlm: the pretrained KerasHub task.
        detector: optional `Detector`. Defaults to `Detector()`.
        batch_size: optional int. Examples in a batch. Defaults to that of
            prepared examples, or 16.
        trusted: optional sequence of ids; or a callable from a dict with
            `"example_id"`, `"prompts"` and `"responses"` to a bool; or the
            path of a file with one id a line, a JSON list of them, or the
            `decisions.json` that the page of an audit exports. These examples
            are never held out, and tell of others like them: twenty of a
            style or prompt of its own make it known. Poison in a trusted
            style is still judged by its content. What a `decisions.json`
            drops is held out for good, see `Detection.drop`.
        control_tokens: `"warn"`, `"refuse"` or `"escape"`, see
            `PreparedExamples`, where prepared examples have it from. Defaults
            to `"warn"`.

    Returns:
        A `Detection`.

    Raises:
        ValueError: if an example or the task is not fit for it, see
            `PreparedExamples`, or if the decision is not possible.

    Example:

    >>> detection = keras_byorn.detect(examples, vlm)
    >>> detection
    <Detection: 419 of 4,000 (10.5 %) suspect, ...>
    >>> detection.audit().to_html("report.html")
    """
    detector = detector or Detector()
    prepared = PreparedExamples.of(
        examples,
        vlm,
        batch_size,
        verbose=detector.verbose,
        control_tokens=control_tokens,
    )
    reference = FrozenReference(vlm, adapters_off=True)
    return detector.detect(prepared, reference, trusted=trusted)
