"""Scores that are kept: read the next time, and never wrong."""

import warnings

import keras
import numpy as np
import pytest

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.views import (
    BlankImage,
    Blur,
    NoPrompt,
    Paraphrase,
    ShuffledImage,
)
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.reference_digest import reference_digest
from keras_byorn.detection.reference_scores import ReferenceScores
from keras_byorn.detection.score_cache import ScoreCache
from keras_byorn.detection.scorers import (
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    WorstSpan,
)


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """Not changed by the tests that share it."""
    return make_vlm()


class Runs:
    """Runs that keep their scores in one folder, and count what they score.

    Args:
        folder: path.
        references: dict. A reference that was used is compiled.
    """

    def __init__(self, folder, references):
        self.folder = folder
        self._references = references

    def __call__(self, vlm, examples, view=None, keep=True):
        """Token scores under a view, and the number of examples scored."""
        if vlm not in self._references:
            self._references[vlm] = FrozenReference(vlm)
        reference = self._references[vlm]
        prepared = prepare(vlm, examples)
        cache = ScoreCache(self.folder, reference, prepared) if keep else None
        scored = count_scored(reference)
        scores = ReferenceScores(reference, prepared, cache=cache)
        return scores.under(view), sum(scored)


def prepare(vlm, examples):
    return PreparedExamples(examples, vlm, batch_size=4, verbose=0)


def count_scored(reference):
    """Returns a list, to which each pass adds its number of examples."""
    scored = []

    def counted(batches, verbose="auto", keep=None):
        scored.append(len(batches.response_mask))
        return FrozenReference.score(reference, batches, verbose, keep)

    reference.__dict__["score"] = counted
    return scored


@pytest.fixture(scope="module")
def references():
    return {}


@pytest.fixture
def run(tmp_path, references):
    return Runs(tmp_path / "scores", references)


def assert_equal(left, right):
    """To the bit."""
    for own, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(own, other)


@keras.saving.register_keras_serializable(package="score_cache_test")
def longer(prompt):
    return "what " + prompt


@pytest.mark.parametrize(
    "view", [None, BlankImage(), NoPrompt(), Paraphrase(longer)]
)
def test_the_second_run_takes_no_pass(view, run, vlm, make_examples):
    """And finds the scores of the first, and of a run that keeps nothing."""
    unkept, _ = run(vlm, make_examples(), view, keep=False)
    assert not run.folder.exists()
    first, scored = run(vlm, make_examples(), view)
    assert scored == 6
    assert_equal(first, unkept)
    second, scored = run(vlm, make_examples(), view)
    assert scored == 0
    assert_equal(second, unkept)


def other_response(example):
    example["responses"] = "purple"


def other_prompt(example):
    example["prompts"] = "what colour is the image\n"


def other_pixel(example):
    example["images"][3, 5, 1] ^= 1


@pytest.mark.parametrize("change", [other_response, other_prompt, other_pixel])
def test_a_changed_example_is_scored_again(change, run, vlm, make_examples):
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
    assert run(vlm, make_examples())[1] == 0  # those of before are known


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
    """A part that it hides may change; one that it shows may not."""
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
    """After the least change of one weight of one tower, too."""
    vlm = make_vlm()
    run(vlm, make_examples())
    assert run(make_vlm(), make_examples())[1] == 0
    weights = [w for w in vlm.weights if w.path.endswith(name)]
    assert weights, [w.path for w in vlm.weights]
    value = keras.ops.convert_to_numpy(weights[0]).copy()
    value.reshape(-1)[-1] += 1e-3
    weights[0].assign(value)
    assert run(vlm, make_examples())[1] == 6


def test_the_digest_is_of_all_that_a_reference_computes_with(make_vlm):
    """Not of its name, of what is trainable, or of adapters that are off.

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
    """Equal weights give other numbers in bfloat16, or of darker images."""
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
    assert_equal(again, found)

    vlm = make_vlm()
    vlm.preprocessor.image_converter.scale = 1 / 255
    vlm.preprocessor.image_converter.offset = 0.0
    assert run(vlm, make_examples())[1] == 6


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_told_of_and_made_anew(
    damage, run, vlm, make_examples
):
    """Not a bit of it is believed."""
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
    assert_equal(found, expected)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "A file with kept scores")
        assert run(vlm, make_examples())[1] == 0
        assert run(vlm, make_examples(), BlankImage())[1] == 0


def has_all(path, scores):
    """bool. Whether a file has the first of these log-likelihoods."""
    own = scores.log_likelihoods[0][scores.response_mask[0]]
    return own.tobytes() in path.read_bytes()


def test_files_hold_no_text_and_no_leftovers(run, vlm, make_examples):
    """Data that may not leave its place can be scored with a shared folder."""
    run(vlm, make_examples(responses=["yellow seven"] * 6))
    (path,) = run.folder.iterdir()
    assert path.suffix == ".parquet" and b"yellow" not in path.read_bytes()
    assert b"scene" not in path.read_bytes()


def detect(reference, vlm, examples, scorer, folder, verbose=0):
    """Detects with a cache in a folder; returns the plausibilities."""
    detector = Detector(
        scorer=scorer,
        decision=FlagFraction(0.3),
        score_cache=folder,
        verbose=verbose,
    )
    prepared = prepare(vlm, examples)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*examples tell little")
        return detector.detect(prepared, reference).plausibility


def test_another_scorer_reads_the_same_tokens(
    tmp_path, make_vlm, make_examples, capsys
):
    """While adapters are trained, too: the reference is what it was."""
    vlm = make_vlm(lora_rank=2)
    reference = FrozenReference.of(vlm)
    scored = count_scored(reference)

    def run(count, scorer, folder=tmp_path):
        examples = make_examples(count)
        found = detect(reference, vlm, examples, scorer, folder, verbose=1)
        for variable in vlm.trainable_variables:  # as training would
            variable.assign(variable + 0.05)
        return found, capsys.readouterr().out

    first, said = run(6, MeanLogLikelihood())
    assert scored == [6] and "Scoring 6 responses, 0 known\n" in said
    again, said = run(7, MeanLogLikelihood())
    assert scored == [6, 1] and "Scoring 1 responses, 6 known\n" in said
    np.testing.assert_array_equal(again[:6], first)
    run(7, Ensemble([Regret(), WorstSpan(2)]))
    regret, _ = run(6, Regret())
    assert scored == [6, 1]
    _, said = run(6, PointwiseMutualInformation())
    assert scored == [6, 1, 6]
    assert "Scoring 0 responses, 6 known\n" in said
    assert "Scoring 6 responses under BlankImage(), 0 known\n" in said
    unkept, said = run(6, Regret(), folder=None)
    assert scored == [6, 1, 6, 6] and "Scoring 6 responses\n" in said
    np.testing.assert_allclose(regret, unkept, atol=1e-5)


def test_a_tuned_model_is_another_reference(tmp_path, make_vlm, make_examples):
    """In full fine-tuning its scores are its own, those of before stay."""
    vlm = make_vlm()
    scorer = MeanLogLikelihood()

    def run(vlm):
        reference = FrozenReference.of(vlm)
        scored = count_scored(reference)
        found = detect(reference, vlm, make_examples(), scorer, tmp_path)
        return found, scored

    before, scored = run(vlm)
    assert scored == [6]
    for variable in vlm.trainable_variables:
        variable.assign(variable * 1.1)
    after, scored = run(vlm)
    assert scored == [6] and np.abs(after - before).max() > 0.01
    again, scored = run(make_vlm())
    assert scored == []
    np.testing.assert_array_equal(again, before)


def test_several_processes_may_share_a_folder(tmp_path, vlm, make_examples):
    """Each adds files of its own; scores that both have found do no harm."""
    prepared = prepare(vlm, make_examples())
    reference = FrozenReference(vlm)
    first, second = (
        ScoreCache(tmp_path, reference, prepared) for _ in range(2)
    )
    lengths = prepared.response_mask.sum(axis=-1)
    values = [np.full((2, length), -1.0, "float32") for length in lengths]
    first.add(None, {0: values[0], 1: values[1]})
    second.add(None, {1: values[1], 4: values[4]})
    for cache in (first, second, ScoreCache(tmp_path, reference, prepared)):
        found = cache.read(None)
        assert sorted(found) == [0, 1, 4]
        for index, kept in found.items():
            np.testing.assert_array_equal(kept, values[index])
    assert len(list(tmp_path.iterdir())) == 2
