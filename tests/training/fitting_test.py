"""`fit`: models beside one another, and fits that fail."""

import keras
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel


def compiled(vlm, reference=None):
    model = BYORnModel(vlm, reference)
    optimizer = keras.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer=optimizer)
    return model


def defence(suspects=("scene-1",), **kwargs):
    detector = OracleFlags(suspects, verbose=0)
    return BYORnCallback(detector=detector, verbose=0, **kwargs)


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assert_equal_weights(vlm, expected):
    for value, own in zip(expected, in_numpy(vlm.weights), strict=True):
        np.testing.assert_array_equal(value, own)


class Pair:
    """Two students of their own data, trained in turns.

    Args:
        make_vlm, make_examples, make_batches: the fixtures.
        shared: bool. Whether one reference serves both of them.
    """

    def __init__(self, make_vlm, make_examples, make_batches, shared):
        self.vlms = [make_vlm(seed=seed) for seed in (1, 2)]
        examples = make_examples(4), make_examples(8)[4:]
        self.batches = [
            make_batches(*pair, shuffle=True)
            for pair in zip(self.vlms, examples)
        ]
        self.references = [FrozenReference(make_vlm(seed=3))]
        if not shared:
            self.references.append(FrozenReference(make_vlm(seed=3)))
        self.models = [
            compiled(vlm, self.references[-index])
            for index, vlm in enumerate(self.vlms)
        ]

    def train(self, order):
        """Trains for an epoch each, in an order: losses of each model."""
        losses = [[], []]
        defences = [defence(["scene-1"]), defence(["scene-5"])]
        for index in order:
            history = self.models[index].fit(
                self.batches[index], callbacks=[defences[index]], verbose=0
            )
            losses[index] += history.history["loss"]
        return losses


def test_models_share_a_reference(make_vlm, make_examples, make_batches):
    """In turns they train as they do with a reference each, to the bit."""
    fixtures = make_vlm, make_examples, make_batches
    apart, together = Pair(*fixtures, False), Pair(*fixtures, True)
    (reference,) = together.references
    before = in_numpy(reference.weights)
    expected = apart.train([0, 0, 1, 1])
    assert together.train([0, 1, 0, 1]) == expected
    assert np.isfinite(expected).all() and expected[0] != expected[1]
    for index in range(2):
        stores = [pair.batches[index].store for pair in (apart, together)]
        np.testing.assert_array_equal(*(s.plausibility for s in stores))
        texts = [[r.current_response for r in s.rows()] for s in stores]
        assert texts[0] == texts[1] and stores[0].suspects.sum() == 1
        assert_equal_weights(
            together.vlms[index], in_numpy(apart.vlms[index].weights)
        )
    assert reference.task is not None
    for value, own in zip(before, in_numpy(reference.weights)):
        np.testing.assert_array_equal(value, own)


def test_a_fit_within_a_fit(make_vlm, make_examples, make_batches):
    """Between two epochs another model may train; neither notices."""
    fixtures = make_vlm, make_examples, make_batches
    apart, nested = Pair(*fixtures, True), Pair(*fixtures, True)
    expected = [
        model.fit(batches, epochs=2, verbose=0).history["loss"]
        for model, batches in zip(apart.models, apart.batches)
    ]
    found = []

    class Inner(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if not epoch:
                history = nested.models[1].fit(
                    nested.batches[1], epochs=2, verbose=0
                )
                found.append(history.history["loss"])

    outer = nested.models[0].fit(
        nested.batches[0], epochs=2, callbacks=[Inner()], verbose=0
    )
    assert [outer.history["loss"], *found] == expected
    for own, alone in zip(nested.vlms, apart.vlms):
        assert_equal_weights(own, in_numpy(alone.weights))


class Fail(keras.callbacks.Callback):
    """Interrupts training at one of the calls of a method."""

    def __init__(self, method, number):
        super().__init__()
        self._number = number
        setattr(self, method, self._fail)

    def _fail(self, number, logs=None):
        if number == self._number:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "method, number",
    [("on_epoch_end", 0), ("on_train_batch_end", 0), ("on_epoch_begin", 1)],
)
def test_a_fit_that_fails_leaves_nothing_behind(
    make_vlm, make_batches, method, number
):
    """The next one shows images again, in as many batches as there are."""
    vlm = make_vlm()
    vlm.backbone.enable_lora(2, target_layer_names=["query", "value"])
    vlm.backbone.vit_encoder.trainable = False
    model, batches = compiled(vlm), make_batches(vlm)
    assert model._shared_vision() is not None
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            batches,
            epochs=2,
            callbacks=[defence(), Fail(method, number)],
            verbose=0,
        )
    assert batches.store.suspects.sum() == 1
    assert len(batches) == batches.num_batches == 2
    x, _, extra = batches[0]
    assert "image_embeddings" not in x and "images" in x
    assert extra["weight"].all()
    for variable in vlm.trainable_variables:
        assert np.isfinite(in_numpy([variable])[0]).all()
    history = model.fit(
        batches, epochs=2, callbacks=[defence()], verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()


def test_an_error_in_detection_leaves_nothing_behind(make_vlm, make_batches):
    """The weights are as before, and a further fit begins anew."""
    vlm = make_vlm()
    model, batches = compiled(vlm), make_batches(vlm)
    before = in_numpy(vlm.weights)
    detector = Detector(verbose=0)

    def flag(plausibility, scores):
        raise RuntimeError("no decision")

    detector.flag = flag
    with pytest.raises(RuntimeError, match="no decision"):
        model.fit(
            batches,
            callbacks=[BYORnCallback(detector=detector, verbose=0)],
            verbose=0,
        )
    assert not batches.store.is_scored and len(batches) == batches.num_batches
    assert_equal_weights(vlm, before)
    model.fit(batches, callbacks=[defence()], verbose=0)
    assert batches.store.suspects.sum() == 1


@pytest.mark.skipif(
    keras.config.backend() != "torch", reason="others have no parameters"
)
@pytest.mark.parametrize("lora_rank", [None, 2])
def test_parameters_are_the_students(make_vlm, make_batches, lora_rank):
    """By name, with their gradients, as tools for PyTorch expect them.

    A frozen copy stands beside the student and has names of its own.
    """
    vlm = make_vlm(lora_rank=lora_rank)
    model = compiled(vlm)
    model.fit(make_batches(vlm), verbose=0)
    named = {
        name.removeprefix("_torch_params."): parameter
        for name, parameter in model.named_parameters()
    }
    assert len(named) == len(list(model.parameters()))
    known = {id(parameter) for parameter in named.values()}
    for variable in vlm.trainable_variables:
        assert id(variable.value) in known, variable.path
        assert named[variable.path] is variable.value
        assert variable.value.requires_grad
        assert variable.value.grad is not None
    trained = [p for p in named.values() if p.requires_grad]
    assert len(trained) == len(vlm.trainable_variables)
    for weight in model.reference.weights:
        if id(weight) not in set(map(id, vlm.weights)):
            assert named[weight.path] is weight.value
            assert weight.value.grad is None
