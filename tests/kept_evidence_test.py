"""What was scored once is read the next time, and only that."""

import warnings

import keras
import numpy as np
import pytest

from keras_byorn.detection.dataset_scores import Evidence
from keras_byorn.detection.score_cache import (
    KeptEvidence,
    reference_digest,
)
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import (
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    WorstSpan,
)
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.data.views import (
    BlankImage,
    Blur,
    NoPrompt,
    Paraphrase,
    ShuffledImage,
)
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """Not changed by the tests that share it."""
    return make_vlm()


class Runs:
    """Runs that keep their scores in one folder, and count what they score.

    Args:
        folder: path.
        make_batches: the fixture.
        references: dict. A reference that was used is compiled.
    """

    def __init__(self, folder, make_batches, references):
        self.folder = folder
        self._make_batches = make_batches
        self._references = references

    def __call__(self, vlm, examples, view=None, keep=True):
        """Token evidence under a view, and how many examples were scored."""
        if vlm not in self._references:
            self._references[vlm] = FrozenReference(vlm)
        reference = self._references[vlm]
        batches = self._make_batches(vlm, examples)
        kept = KeptEvidence(self.folder, reference, batches) if keep else None
        scored = count_scored(reference)
        evidence = Evidence(reference, batches, kept=kept)
        return evidence.under(view), sum(scored)


def count_scored(reference):
    """A list that grows by how many examples each pass is over."""
    scored = []

    def counted(batches, verbose="auto"):
        scored.append(len(batches.response_mask))
        return FrozenReference.evidence(reference, batches, verbose)

    reference.__dict__["evidence"] = counted
    return scored


@pytest.fixture(scope="module")
def references():
    return {}


@pytest.fixture
def run(tmp_path, make_batches, references):
    return Runs(tmp_path / "scores", make_batches, references)


def same(left, right):
    """To the bit."""
    np.testing.assert_array_equal(left.log_likelihoods, right.log_likelihoods)
    np.testing.assert_array_equal(left.preferred, right.preferred)
    np.testing.assert_array_equal(left.response_mask, right.response_mask)


@pytest.mark.parametrize(
    "view", [None, BlankImage(), NoPrompt(), Paraphrase(lambda p: "what " + p)]
)
def test_the_second_run_takes_no_pass(view, run, vlm, make_examples):
    """And finds what the first and a run that keeps nothing find."""
    unkept, _ = run(vlm, make_examples(), view, keep=False)
    assert not run.folder.exists()
    first, scored = run(vlm, make_examples(), view)
    assert scored == 6
    same(first, unkept)
    second, scored = run(vlm, make_examples(), view)
    assert scored == 0
    same(second, unkept)


def other_response(example):
    example["responses"] = "purple"


def other_prompt(example):
    example["prompts"] = "what colour is the image\n"


def other_pixel(example):
    example["images"][3, 5, 1] ^= 1


@pytest.mark.parametrize("change", [other_response, other_prompt, other_pixel])
def test_what_has_changed_is_scored_again(change, run, vlm, make_examples):
    """The one example, wherever it stands; the others are read."""
    run(vlm, make_examples())
    examples = make_examples()
    change(examples[2])
    found, scored = run(vlm, examples)
    assert scored == 1
    expected, _ = run(vlm, examples, keep=False)
    for values, wanted in zip(found, expected):
        np.testing.assert_allclose(values, wanted, atol=1e-5)
    assert run(vlm, examples)[1] == 0
    assert run(vlm, make_examples())[1] == 0  # what was, is known still


def test_neither_ids_nor_places_matter(run, vlm, make_examples):
    """Examples may be added, taken out, mixed and named anew."""
    run(vlm, make_examples(5))
    examples = make_examples(7)[::-1]
    for index, example in enumerate(examples):
        example["example_id"] = f"new-{index}"
    found, scored = run(vlm, examples)
    assert scored == 2
    expected, _ = run(vlm, examples, keep=False)
    for values, wanted in zip(found, expected):
        np.testing.assert_allclose(values, wanted, atol=1e-5)
    assert run(vlm, examples[3:])[1] == 0


def test_a_view_is_known_by_what_it_shows(run, vlm, make_examples):
    """What it hides may change; what it shows may not."""
    examples = make_examples()
    for view in (None, BlankImage(), NoPrompt(), Blur(), ShuffledImage()):
        assert run(vlm, examples, view)[1] == 6
    assert run(vlm, examples, Blur(sigma=0.1))[1] == 6
    other_pixel(examples[2])
    assert run(vlm, examples, BlankImage())[1] == 0
    assert run(vlm, examples, ShuffledImage())[1] == 1
    other_prompt(examples[4])
    assert run(vlm, examples, NoPrompt())[1] == 1  # the pixel
    assert run(vlm, examples)[1] == 2


@pytest.mark.parametrize(
    "name", ["token_embedding/embeddings", "classifier/kernel"]
)
def test_other_weights_score_all_anew(name, run, make_vlm, make_examples):
    """Be it the least change of one weight of one tower."""
    vlm = make_vlm()
    run(vlm, make_examples())
    assert run(make_vlm(), make_examples())[1] == 0
    weights = [w for w in vlm.weights if w.path.endswith(name)]
    assert weights, [w.path for w in vlm.weights]
    value = keras.ops.convert_to_numpy(weights[0]).copy()
    value.reshape(-1)[-1] += 1e-3
    weights[0].assign(value)
    assert run(vlm, make_examples())[1] == 6


def test_what_the_reference_computes_with_is_its_digest(make_vlm):
    """Not what it is called, nor what is trainable, nor adapters that are off.

    A copy of the weights is the same reference as adapters switched off.
    """
    vlm = make_vlm()
    digest = reference_digest(FrozenReference.of(vlm))
    assert digest == reference_digest(FrozenReference(vlm))
    adapted = make_vlm(lora_rank=2)
    assert digest == reference_digest(FrozenReference.of(adapted))
    for variable in adapted.trainable_variables:
        variable.assign(variable + 0.1)
    assert digest == reference_digest(FrozenReference.of(adapted))
    # Its adapters on, it is another.
    assert digest != reference_digest(FrozenReference(adapted))
    assert digest != reference_digest(FrozenReference(make_vlm(seed=1)))
    vlm.backbone.final_logit_soft_cap = 30.0
    assert digest != reference_digest(FrozenReference(vlm))


def test_data_types_and_image_conversion_count(run, make_vlm, make_examples):
    """The same weights give other numbers in bfloat16, or of darker images."""
    run(make_vlm(), make_examples())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        vlm = make_vlm()
    finally:
        keras.config.set_dtype_policy(before)
    found, scored = run(vlm, make_examples())
    assert scored == 6
    again, scored = run(vlm, make_examples())
    assert scored == 0
    same(again, found)

    vlm = make_vlm()
    vlm.preprocessor.image_converter.scale = 1 / 255
    vlm.preprocessor.image_converter.offset = 0.0
    assert run(vlm, make_examples())[1] == 6


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_told_of_and_made_anew(
    damage, run, vlm, make_examples
):
    """Never silently wrong: not a bit of it is believed."""
    expected, _ = run(vlm, make_examples())
    run(vlm, make_examples(), BlankImage())  # in a file of its own
    (path,) = [p for p in run.folder.iterdir() if has_all(p, expected)]
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"damaged: {path}.*scored anew"):
        found, scored = run(vlm, make_examples())
    assert scored == 6
    same(found, expected)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "A file with kept scores")
        assert run(vlm, make_examples())[1] == 0
        assert run(vlm, make_examples(), BlankImage())[1] == 0


def has_all(path, evidence):
    """Whether a file has the first of these log-likelihoods."""
    mask = evidence.response_mask
    return evidence.log_likelihoods[0][mask[0]].tobytes() in path.read_bytes()


def test_files_hold_no_text_and_no_leftovers(run, vlm, make_examples):
    """Data that may not leave its place can be scored with a shared folder."""
    run(vlm, make_examples(responses=["yellow seven"] * 6))
    (path,) = run.folder.iterdir()
    assert path.suffix == ".parquet" and b"yellow" not in path.read_bytes()
    assert b"scene" not in path.read_bytes()


def defended(model, batches, folder, scorer, verbose=0):
    defence = BYORnCallback(
        FlagFraction(0.3),
        scorer,
        teacher="none",
        second_look=False,
        keep_scores=folder,
        verbose=verbose,
    )
    model.fit(batches, callbacks=[defence], verbose=0)
    return defence.store.plausibility


def compiled(vlm):
    model = BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.Adam(0.05))
    return model


def test_another_scorer_reads_the_same_tokens(
    tmp_path, make_vlm, make_examples, make_batches, capsys
):
    """While adapters are trained, too: the reference is what it was."""
    vlm = make_vlm(lora_rank=2)
    model = compiled(vlm)
    scored = count_scored(model.reference)

    def defend(count, scorer, folder=tmp_path):
        batches = make_batches(vlm, make_examples(count))
        plausibility = defended(model, batches, folder, scorer, verbose=1)
        return plausibility, capsys.readouterr().out

    first, said = defend(6, MeanLogLikelihood())
    assert scored == [6] and "Scoring 6 responses, 0 known\n" in said
    again, said = defend(7, MeanLogLikelihood())
    assert scored == [6, 1] and "Scoring 1 responses, 6 known\n" in said
    np.testing.assert_array_equal(again[:6], first)
    defend(7, Ensemble([Regret(), WorstSpan(2)]))
    regret, _ = defend(6, Regret())
    assert scored == [6, 1]
    _, said = defend(6, PointwiseMutualInformation())
    assert scored == [6, 1, 6]
    assert "Scoring 0 responses, 6 known\n" in said
    assert "Scoring 6 responses under BlankImage(), 0 known\n" in said
    unkept, said = defend(6, Regret(), folder=None)
    assert scored == [6, 1, 6, 6] and "Scoring 6 responses\n" in said
    np.testing.assert_allclose(regret, unkept, atol=1e-5)


def test_a_tuned_model_is_another_reference(tmp_path, make_vlm, make_batches):
    """In full fine-tuning its scores are its own, those of before stay."""
    vlm = make_vlm()
    model = compiled(vlm)
    scorer = MeanLogLikelihood()
    before = defended(model, make_batches(vlm), tmp_path, scorer)
    model = compiled(vlm)
    scored = count_scored(model.reference)
    after = defended(model, make_batches(vlm), tmp_path, scorer)
    assert scored == [6] and np.abs(after - before).max() > 0.01
    vlm = make_vlm()
    model = compiled(vlm)
    scored = count_scored(model.reference)
    again = defended(model, make_batches(vlm), tmp_path, scorer)
    assert scored == []
    np.testing.assert_array_equal(again, before)
