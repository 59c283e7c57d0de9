"""The work between epochs, and its place among other callbacks."""

import keras
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags
from keras_byorn.training import epoch_edges
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.epoch_edges import EpochEdges
from keras_byorn.training.model import BYORnModel

EPOCHS = 3


class Recorded(BYORnCallback):
    """Notes the weights of the student and of the writer at epoch edges."""

    def begin_epoch(self):
        self.__dict__.setdefault("students", []).append(weights_of(self.model))
        super().begin_epoch()

    def _regenerate(self, suspects):
        self.__dict__.setdefault("writers", []).append(weights_of(self.model))
        super()._regenerate(suspects)


def weights_of(model):
    variables = model.vlm.trainable_variables
    return np.concatenate(
        [keras.ops.convert_to_numpy(v).ravel() for v in variables]
    )


def write_without_end(task):
    """Keeps responses of an untrained model, which seldom end."""
    until_end = task._until_end
    task._until_end = lambda ids: ids if until_end(ids) is None else ids[:1]
    task.detokenize = lambda ids: f"ids {[int(i) for i in ids]}"


class Run:
    """A defended run with some callbacks before and after the defence."""

    def __init__(self, vlm, batches, before=(), after=()):
        write_without_end(batches.task)
        model = BYORnModel(vlm)
        model.compile(
            keras.optimizers.AdamW(0.02, use_ema=True, ema_momentum=0.7)
        )
        detector = OracleFlags({"scene-1", "scene-4"}, verbose=0)
        self.defence = Recorded(
            detector=detector, suspects="replace", review=False, verbose=0
        )
        self.losses = model.fit(
            batches,
            epochs=EPOCHS,
            callbacks=[*before, self.defence, *after],
            verbose=0,
        ).history["loss"]
        self.final = weights_of(model)
        self.responses = [r.current_response for r in batches.store.rows()]
        self.revisions = [r.revision for r in batches.store.rows()]


def swap():
    return keras.callbacks.SwapEMAWeights(swap_on_epoch=True)


@pytest.fixture(scope="module")
def runs(make_vlm, make_batches):
    """Runs by the place of a callback that swaps the average in and out."""
    places = {
        "none": {},
        "before": {"before": [swap()]},
        "after": {"after": [swap()]},
    }
    found = {}
    for place, callbacks in places.items():
        vlm = make_vlm(seed=2)
        batches = make_batches(vlm, batch_size=6, shuffle=True)
        found[place] = Run(vlm, batches, **callbacks)
    return found


def test_the_order_of_callbacks_changes_nothing(runs):
    """Before or after the defence: losses, replacements, final weights."""
    before, after = runs["before"], runs["after"]
    assert before.losses == after.losses
    assert before.responses == after.responses
    np.testing.assert_array_equal(before.final, after.final)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_swap_of_the_average_changes_nothing(runs, place):
    """TensorFlow swaps by sums, and so rounds."""
    run, plain = runs[place], runs["none"]
    np.testing.assert_allclose(run.losses, plain.losses, rtol=1e-5)
    assert run.responses == plain.responses
    assert run.revisions == plain.revisions
    np.testing.assert_allclose(run.final, plain.final, atol=1e-5)


@pytest.mark.parametrize("place", ["none", "before", "after"])
def test_the_average_writes_and_the_student_trains_on(runs, place):
    """The average follows, in NumPy, from the student's weights."""
    run, plain = runs[place], runs["none"]
    writers, students = run.defence.writers, run.defence.students
    assert len(students) == EPOCHS and len(writers) == EPOCHS - 1
    for own, other in zip(writers, plain.defence.writers):
        np.testing.assert_allclose(own, other, atol=1e-5)
    for own, other in zip(students, plain.defence.students):
        np.testing.assert_allclose(own, other, atol=1e-5)
    # An epoch is one step here, and the first step begins the average.
    expected = 0.7 * students[1] + 0.3 * students[2]
    np.testing.assert_allclose(writers[0], students[1], atol=1e-6)
    np.testing.assert_allclose(writers[1], expected, atol=1e-6)
    assert np.abs(writers[1] - students[2]).max() > 1e-3
    replaced = [text for text in run.responses if text.startswith("ids")]
    assert len(replaced) == 2
    assert run.revisions[1] == run.revisions[4] == EPOCHS


def test_epochs_begin_and_end_once(monkeypatch):
    """The defence before an epoch, new targets after it."""
    calls = []

    class Part:
        def __getattr__(self, name):
            return lambda *arguments: calls.append(name)

    monkeypatch.setattr(
        epoch_edges,
        "check_finite",
        lambda *arguments: calls.append("finite") or True,
    )
    edges = EpochEdges(Part(), Part(), Part())
    edges.set_model(None)
    edges.on_train_begin()
    for epoch in range(2):
        edges.on_epoch_begin(epoch)
        edges.on_epoch_end(epoch)
    assert calls == ["begin_training"] + 2 * [
        "begin_epoch",
        "result",
        "finite",
        "next_epoch",
        "end_epoch",
    ]
    undefended = EpochEdges(Part(), Part())
    undefended.on_epoch_begin(0)
    assert len(calls) == 11
