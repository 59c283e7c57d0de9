"""The loss of each example at its first step, at a cost that does not grow."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.training.loss_history import LossHistory
from keras_byorn.training.model import BYORnModel


def update(history, *batches):
    """Notes batches as a compiled step does, and collects after the last."""
    for positions, losses in batches:
        history.update(
            keras.ops.convert_to_tensor(positions, "int32"),
            keras.ops.convert_to_tensor(losses, "float32"),
        )
    history.collect(*(register.value for register in history.registers))


def make_model(vlm, learning_rate=0.1, **kwargs):
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(learning_rate), **kwargs)
    return model


def test_the_first_loss_of_an_example_stays():
    """With its step, and none of a row that is no original."""
    history = LossHistory(4, batch_size=3)
    update(history, ([2, 0, 4], [0.5, 0.25, 9.0]))
    update(history, ([2, 4, 4], [0.125, 8.0, 8.0]))
    update(history, ([0, 3, 4], [7.0, 1.5, 8.0]))
    plausibility, steps = history.result()
    assert steps.tolist() == [1, 0, 1, 3]
    np.testing.assert_allclose(plausibility, [-0.25, np.nan, -0.5, -1.5])
    assert plausibility.dtype == "float32" and steps.dtype == "int32"
    assert not history.trainable_variables
    plausibility[:] = 0  # a copy
    np.testing.assert_allclose(history.result()[0][0], -0.25)


def test_several_steps_of_one_execution_are_kept():
    """Registers of a short last execution hold older steps, too."""
    history = LossHistory(6, batch_size=2, num_steps=3)
    update(
        history,
        ([0, 1], [1.0, 2.0]),
        ([2, 6], [3.0, 9.0]),
        ([3, 0], [4.0, 9.0]),
    )
    update(history, ([4, 6], [5.0, 9.0]))
    plausibility, steps = history.result()
    assert steps.tolist() == [1, 1, 2, 3, 4, 0]
    np.testing.assert_allclose(plausibility, [-1, -2, -3, -4, -5, np.nan])


def test_results_do_not_depend_on_when_they_are_read():
    """Reading between executions forgets nothing, and counts nothing twice."""
    histories = LossHistory(4, 2), LossHistory(4, 2)
    batches = [([0, 1], [1.0, 2.0]), ([0, 2], [3.0, 4.0])]
    for history, often in zip(histories, (True, False)):
        for batch in batches:
            update(history, batch)
            if often:
                history.result()
                history.result()
    for one, other in zip(*(history.result() for history in histories)):
        np.testing.assert_array_equal(one, other)


def test_reset_forgets_everything():
    """Counting begins anew, too."""
    history = LossHistory(3, batch_size=2)
    update(history, ([0, 1], [1.0, 2.0]))
    history.result()
    update(history, ([0, 2], [1.0, 2.0]))  # was not read
    history.reset()
    plausibility, steps = history.result()
    assert np.isnan(plausibility).all() and not steps.any()
    update(history, ([1, 3], [5.0, 9.0]))
    plausibility, steps = history.result()
    assert steps.tolist() == [0, 1, 0]
    np.testing.assert_allclose(plausibility, [np.nan, -5.0, np.nan])


def test_registers_do_not_grow_with_the_examples():
    """A step writes as much for ten million examples as for ten."""
    small, large = LossHistory(10, 4, 2), LossHistory(10**7, 4, 2)
    for history in (small, large):
        shapes = [tuple(variable.shape) for variable in history.variables]
        assert shapes == [(2, 4), (2, 5)]
        assert len(history.registers) == 2


def first_losses(vlm, batches, response_log_likelihoods):
    """The oracle: each batch of the first epoch before its step, in NumPy.

    Returns:
        A pair of arrays, `(N,)`: the loss of each example that is trained on
        as it came, NaN for others, and its step.
    """
    model = make_model(vlm)
    losses = np.full(len(batches.examples), np.nan)
    steps = np.zeros(len(losses), int)
    with batches.starting():
        batches.begin_training()
        for step in range(batches.num_batches):
            x, y, extra = batches[step]
            mask = extra["response_mask"]
            values = response_log_likelihoods(vlm, x, y, mask)
            means = -values.sum(axis=-1) / mask.sum(axis=-1)
            positions = extra.pop("position")
            known = positions < len(losses)
            losses[positions[known]] = means[known]
            steps[positions[known]] = step + 1
            model.train_on_batch(x, y, extra)
    return losses, steps


def batches_of(make_batches, make_examples, vlm):
    """Ten examples, of which three are not trained on as a whole."""
    responses = ["red one two", *"red blue one two six red one two six".split()]
    batches = make_batches(
        vlm,
        make_examples(10, responses=responses),
        batch_size=2,
        shuffle=True,
        seed=4,
    )
    probability = np.zeros(10)
    probability[[0, 3, 7]] = 1.0
    batches.store.set_scores(-np.ones(10), probability)
    batches.store.mask("scene-0", [1], "red two")
    batches.store.replace("scene-3", "red", batches.prepared.response_ids[1])
    return batches


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_fit_keeps_the_losses_of_first_steps(
    make_vlm,
    make_examples,
    make_batches,
    response_log_likelihoods,
    steps_per_execution,
):
    """In mixed order, over three epochs in which the student learns.

    A masked, a replaced and an excluded example have no loss of their own.
    """
    if steps_per_execution > 1 and keras.config.backend() == "torch":
        pytest.skip("PyTorch has no loop of several steps")
    vlm = make_vlm(seed=2)
    expected, steps = first_losses(
        vlm,
        batches_of(make_batches, make_examples, vlm),
        response_log_likelihoods,
    )
    assert np.isnan(expected).nonzero()[0].tolist() == [0, 3, 7]
    vlm = make_vlm(seed=2)
    model = make_model(vlm, steps_per_execution=steps_per_execution)
    batches = batches_of(make_batches, make_examples, vlm)
    assert len(batches) == 5
    model.fit(batches, epochs=3, verbose=0)
    plausibility, found_steps = model.loss_history.result()
    np.testing.assert_array_equal(found_steps, steps)
    np.testing.assert_allclose(plausibility, -expected, rtol=2e-5)
    assert model.loss_history.num_steps == steps_per_execution


def test_the_history_of_one_data_set_is_not_that_of_another(
    make_vlm, make_examples, make_batches
):
    """No example is judged by the loss of one that stood there before."""
    vlm = make_vlm(lora_rank=2)
    first, second = (make_batches(vlm, make_examples(8)) for _ in range(2))
    model = make_model(vlm)
    model.fit(first, epochs=2, verbose=0)
    before = model.loss_history.result()
    assert sorted(set(before[1])) == [1, 2]
    model.fit(first, verbose=0)  # goes on: first steps are not repeated
    for one, other in zip(before, model.loss_history.result()):
        np.testing.assert_array_equal(one, other)
    probability = np.zeros(8)
    probability[5] = 1
    second.store.set_scores(np.zeros(8), probability)
    model.fit(second, verbose=0)
    plausibility, steps = model.loss_history.result()
    assert steps[5] == 0 and np.isnan(plausibility[5])
    assert sorted(set(np.delete(steps, 5))) == [1, 2]
    assert np.nanmax(np.abs(plausibility - before[0])) > 1e-3


def test_a_history_ends_with_a_stream(make_vlm, make_examples, make_batches):
    """Its registers go, and a new history comes with further examples."""
    vlm = make_vlm(lora_rank=2)
    batches = make_batches(vlm, make_examples(8))
    model = make_model(vlm)
    count = len(model.weights)
    model.fit(batches, verbose=0)
    assert len(model.weights) == count + 2
    stream = [
        (x, y, extra["response_mask"].astype("float32"))
        for x, y, extra in batches.prepared.scoring_batches()
    ]
    model.calibrate(stream, FlagFraction(0.25), verbose=0)
    model.fit((batch for batch in stream), verbose=0)
    assert model.loss_history is None and len(model.weights) == count
    model.fit(batches, verbose=0)
    assert len(model.weights) == count + 2
    assert sorted(set(model.loss_history.result()[1])) == [1, 2]
