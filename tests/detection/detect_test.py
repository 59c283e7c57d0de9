"""Detection in one call, which trains nothing and changes nothing."""

import warnings

import keras
import numpy as np
import pytest

import keras_byorn
from keras_byorn.audit import Audit
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import PointwiseMutualInformation
from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.keras_internals import flatten_layers


@pytest.fixture(autouse=True)
def few_examples():
    """These tests have six examples each, and know it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*examples tell little")
        yield


def quiet(**kwargs):
    """A detector that flags two examples of six, without printing."""
    return Detector(decision=FlagFraction(0.3), verbose=0, **kwargs)


def train_adapters(vlm):
    """Gives the adapters values as after training: B is no longer zero."""
    rng = np.random.default_rng(0)
    for layer in lora_layers(vlm):
        for variable in (layer.lora_kernel_a, layer.lora_kernel_b):
            variable.assign(rng.normal(0, 0.3, variable.shape))


def state_of(vlm):
    """All that a user could find changed."""
    return {
        "weights": [keras.ops.convert_to_numpy(w) for w in vlm.weights],
        "trainable": [w.trainable for w in vlm.weights],
        "layers": [x.trainable for x in flatten_layers(vlm.backbone)],
        "trainable_variables": [v.path for v in vlm.trainable_variables],
        "sampler": vlm.sampler,
        "compiled": vlm.compiled,
    }


def assert_unchanged(vlm, before):
    after = state_of(vlm)
    for own, other in zip(after.pop("weights"), before["weights"], strict=True):
        np.testing.assert_array_equal(own, other)
    assert after == {k: v for k, v in before.items() if k != "weights"}


@pytest.mark.parametrize("tuning", ["nothing", "everything", "lora"])
def test_the_task_stays_as_it_is(tuning, make_vlm, make_examples):
    """Its weights to the bit, and all that is trainable of it."""
    vlm = make_vlm(lora_rank=4 if tuning == "lora" else None)
    if tuning == "nothing":
        vlm.trainable = False
    elif tuning == "lora":
        train_adapters(vlm)
    before = state_of(vlm)
    scorer = PointwiseMutualInformation()
    detection = keras_byorn.detect(make_examples(), vlm, quiet(scorer=scorer))
    assert len(detection) == 6
    assert_unchanged(vlm, before)
    assert lora_layers(vlm) or tuning != "lora"


def test_adapters_are_off_while_they_are_scored(make_vlm, make_examples):
    """The reference is the pretrained model, whatever was learned since."""
    untouched, tuned = make_vlm(), make_vlm(lora_rank=4)
    train_adapters(tuned)
    expected = keras_byorn.detect(make_examples(), untouched, quiet())
    found = keras_byorn.detect(make_examples(), tuned, quiet())
    np.testing.assert_allclose(
        found.token_scores.log_likelihoods,
        expected.token_scores.log_likelihoods,
        atol=1e-5,
    )
    np.testing.assert_array_equal(found.verdicts, expected.verdicts)
    # With its adapters it is another model.
    prepared = keras_byorn.PreparedExamples(make_examples(), tuned, verbose=0)
    student = FrozenReference(tuned, adapters_off=True).score_with_adapters(
        prepared.scoring_batches(), verbose=0
    )
    scores = found.token_scores.log_likelihoods
    assert np.abs(student.log_likelihoods[:6] - scores).max() > 0.1
    assert found.settings["reference"] == "adapters off"


def test_texts_and_tokens_come_along(vlm, make_examples):
    """An audit shows them, with the images, at once."""
    detection = keras_byorn.detect(make_examples(), vlm, quiet())
    assert detection.example_ids == [f"scene-{i}" for i in range(6)]
    assert detection.responses[0] == "red one"
    assert detection.tokens(0) == ["▁red", "▁one", "<eos>"]
    assert [len(values) for values in detection.scores_of(0)] == [3, 3]
    audit = detection.audit()
    assert isinstance(audit, Audit) and len(audit) == 6
    assert audit.notes["reference"] == "the task itself"


def test_prepared_examples_are_taken_as_they_are(vlm, make_examples):
    """In batches of another size, if one is asked for."""
    prepared = keras_byorn.PreparedExamples(
        make_examples(), vlm, batch_size=4, verbose=0
    )
    expected = keras_byorn.detect(make_examples(), vlm, quiet())
    shapes, score = [], FrozenReference.score

    def noted(reference, batches, verbose="auto", keep=None):
        shapes.append(batches.batch_size)
        return score(reference, batches, verbose, keep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenReference, "score", noted)
        for detector, kwargs in (
            (quiet(), {}),
            (quiet(), {"batch_size": 3}),
            (quiet(batch_size=2), {}),
        ):
            found = keras_byorn.detect(prepared, vlm, detector, **kwargs)
            np.testing.assert_allclose(
                found.plausibility, expected.plausibility, atol=1e-5
            )
    assert shapes == [4, 3, 2]


def test_examples_and_task_must_fit(vlm, make_vlm, make_examples):
    """Errors are those of preparing."""
    prepared = keras_byorn.PreparedExamples(make_examples(), vlm, verbose=0)
    with pytest.raises(ValueError, match="same `vlm`"):
        keras_byorn.detect(prepared, make_vlm(), quiet())
    examples = make_examples()
    examples[1]["responses"] = ""
    with pytest.raises(ValueError, match="`responses`.*'scene-1'"):
        keras_byorn.detect(examples, vlm, quiet())


def test_one_line_tells_the_verdict(vlm, make_examples, capsys):
    """By default, after the progress bars."""
    detector = Detector(decision=FlagFraction(0.3))
    detection = keras_byorn.detect(make_examples(), vlm, detector)
    lines = capsys.readouterr().out.splitlines()
    assert "Scoring 6 responses" in lines
    assert lines[-2] == "2 of 6 (33.3 %) suspect: the least plausible 30%"
    assert lines[-1].startswith("  cluster 1: 2 held out, shared: none")
    assert repr(detection) == f"<Detection: {lines[-2]}>"


def test_a_detection_is_not_made_again_in_training(
    make_vlm, make_examples, monkeypatch, tmp_path
):
    """Not by the reference, whether it is at hand or from a file."""
    vlm = make_vlm(lora_rank=2)
    passes, score = [], FrozenReference.score

    def noted(reference, batches, verbose="auto", keep=None):
        passes.append(len(batches.response_mask))
        return score(reference, batches, verbose, keep)

    monkeypatch.setattr(FrozenReference, "score", noted)
    detection = keras_byorn.detect(make_examples(), vlm, quiet())
    assert passes == [6]
    detection.save(tmp_path)
    loaded = keras_byorn.Detection.load(tmp_path)
    for given in (detection, loaded):
        batches = keras_byorn.TargetBatches(
            make_examples(), vlm, batch_size=4, verbose=0
        )
        model = keras_byorn.BYORnModel(vlm)
        model.compile(keras.optimizers.SGD(0.0))
        defence = keras_byorn.BYORnCallback(
            given, teacher="none", review=False, verbose=0
        )
        model.fit(batches, callbacks=[defence], verbose=0)
        assert passes == [6]
        store = batches.store
        np.testing.assert_array_equal(store.plausibility, given.plausibility)
        np.testing.assert_array_equal(store.suspects, given.suspects)
        rows = defence.audit().table.to_pylist()
        assert [row["reason"] or "" for row in rows] == detection.reasons
        assert rows[0]["tokens"] == detection.tokens(0)


def test_a_detection_of_other_examples_is_refused_in_training(
    make_vlm, make_examples
):
    """Before the first step."""
    vlm = make_vlm(lora_rank=2)
    detection = keras_byorn.detect(make_examples(), vlm, quiet())
    examples = make_examples()
    examples[2]["responses"] = "purple"
    batches = keras_byorn.TargetBatches(examples, vlm, verbose=0)
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.1))
    defence = keras_byorn.BYORnCallback(detection, teacher="none", verbose=0)
    before = state_of(vlm)
    with pytest.raises(ValueError, match="1 changed.*'scene-2'"):
        model.fit(batches, callbacks=[defence], verbose=0)
    assert_unchanged(vlm, before)
