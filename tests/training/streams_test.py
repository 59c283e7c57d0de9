"""Streams without ids: calibrated on a sample, scored in the step."""

import warnings

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import FlagFraction, HoldOut
from keras_byorn.detection.scorers import Duplication, Ensemble, Regret
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel


def make_model(vlm, **kwargs):
    model = BYORnModel(vlm, **kwargs)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    return model


def stream_of(batches):
    """Batches as the preprocessor returns them: a mask, and no ids."""
    for x, y, extra in batches.prepared.scoring_batches():
        yield x, y, extra["response_mask"].astype("float32")


def test_calibrated_on_a_sample_suspects_carry_no_weight(
    vlm, make_examples, make_batches, response_log_likelihoods
):
    """The loss is that of the kept examples alone, in NumPy."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model = make_model(vlm)
    plausibility = model.calibrate(
        stream_of(batches), FlagFraction(0.25), verbose=0
    )
    losses = []
    for x, y, mask in stream_of(batches):
        mask = mask.astype(bool)
        values = response_log_likelihoods(vlm, x, y, mask)
        losses.extend(-values.sum(axis=-1) / mask.sum(axis=-1))
    np.testing.assert_allclose(plausibility, np.negative(losses), atol=1e-4)
    kept = plausibility >= model.decision.cut
    assert kept.sum() == 6
    history = model.fit(stream_of(batches), verbose=0)
    assert history.history["loss"][0] == pytest.approx(
        np.mean(np.array(losses)[kept]), abs=1e-4
    )


def test_only_the_sample_is_read(vlm, make_examples, make_batches):
    """A stream may have no end."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)

    def endless():
        while True:
            yield from stream_of(batches)

    scores = make_model(vlm).calibrate(
        endless(), FlagFraction(0.25), num_batches=3, verbose=0
    )
    assert scores.shape == (12,)
    np.testing.assert_array_equal(scores[:4], scores[8:])


def test_a_tf_data_stream(vlm, make_examples, make_batches):
    """The usual stream, whatever the backend."""
    tf = pytest.importorskip("tensorflow")
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    first = next(stream_of(batches))
    dataset = tf.data.Dataset.from_generator(
        lambda: stream_of(batches),
        output_signature=keras.tree.map_structure(
            lambda a: tf.TensorSpec(a.shape, a.dtype), first
        ),
    )
    model = make_model(vlm, scorer=Ensemble([Regret()]))
    model.calibrate(dataset, FlagFraction(0.25), verbose=0)
    assert model.scorer.centers is not None
    assert np.isfinite(model.fit(dataset, verbose=0).history["loss"][0])


def test_a_new_calibration_is_a_new_cut_in_the_step(
    vlm, make_examples, make_batches
):
    """The compiled step must not go on with the old one."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model, losses = make_model(vlm), []
    for fraction in (0.2, 0.75):
        model.calibrate(stream_of(batches), FlagFraction(fraction))
        fit = model.fit(stream_of(batches), verbose=0)
        losses.append(fit.history["loss"][0])
    assert losses[1] < losses[0] - 1e-3


def test_requests_that_a_stream_cannot_meet_are_refused(vlm, make_batches):
    """The message names the way to have it."""
    with pytest.raises(ValueError, match="Detector.scorer="):
        make_model(vlm, scorer=Duplication())
    model = make_model(vlm)
    with pytest.raises(ValueError, match="at least one batch"):
        model.calibrate(iter([]), FlagFraction(0.25))
    with pytest.raises(ValueError, match="num_batches=0"):
        model.calibrate(iter([]), FlagFraction(0.25), num_batches=0)
    with pytest.raises(ValueError, match="`model.calibrate"):
        model.fit(stream_of(make_batches(vlm)), verbose=0)
    with pytest.raises(ValueError, match="calibrate"):
        model.fit(
            stream_of(make_batches(vlm)), callbacks=[BYORnCallback()], verbose=0
        )


def test_a_stream_after_target_batches(vlm, make_examples, make_batches):
    """The loss history of the examples is not kept for a stream."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model = make_model(vlm)
    model.fit(batches, verbose=0)
    model.calibrate(stream_of(batches), FlagFraction(0.25), verbose=0)
    history = model.fit(stream_of(batches), verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_a_sample_that_nothing_is_held_out_of_is_refused(
    vlm, make_examples, make_batches
):
    """Whatever came later would be trained on."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model = make_model(vlm)
    with (
        pytest.warns(UserWarning, match="No example is suspect"),
        pytest.raises(ValueError, match="hold out something.*holds out not"),
    ):
        model.calibrate(stream_of(batches), FlagFraction(0.0), verbose=0)
    assert model.decision is None


def test_a_stream_that_drifts_is_held_out_and_told(
    vlm, make_examples, make_batches
):
    """The share is in the history; the reference knows no such texts."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model = make_model(vlm)
    model.calibrate(stream_of(batches), FlagFraction(0.25), verbose=0)
    model.decision.cut = 0.0  # everything lies below it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(stream_of(batches), verbose=0).history
    assert history["held_out"] == [1.0]
    told = [str(w.message) for w in caught if "the stream drifts" in str(w)]
    assert len(told) == 1
    assert "100.0% of the stream were held out in epoch 1" in told[0]


def test_a_steady_stream_is_no_warning(vlm, make_examples, make_batches):
    """A third of it is held out."""
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model = make_model(vlm)
    model.calibrate(stream_of(batches), HoldOut(max_distance=99), verbose=0)
    assert isinstance(model.decision, HoldOut)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the stream drifts")
        history = model.fit(stream_of(batches), verbose=0).history
    assert history["held_out"][0] == pytest.approx(model.stream_share)
