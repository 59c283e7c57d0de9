"""Prepared examples: right ids, one reading, and nothing that changes."""

import keras
import numpy as np
import pytest

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.views import Paraphrase, View


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """A tiny PaliGemma that no test here changes."""
    return make_vlm()


@pytest.fixture(scope="module")
def prepare(vlm, make_examples):
    """A function that prepares examples for the shared task."""

    def make(examples=None, batch_size=4, **kwargs):
        if examples is None:
            examples = make_examples()
        return PreparedExamples(
            examples, vlm, batch_size=batch_size, verbose=0, **kwargs
        )

    return make


def to_numpy(tree):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tree)


def test_inputs_and_targets_are_the_preprocessors(vlm, prepare, make_examples):
    """Against KerasHub's own preprocessing of the same examples."""
    prompts = ["describe the image\n", "what is the left digit\n"]
    examples = make_examples(4, prompts=prompts * 2)
    prepared = prepare(examples)
    ((x, y, extra),) = list(prepared.scoring_batches())
    columns = {
        key: [example[key] for example in examples]
        for key in ("images", "prompts", "responses")
    }
    columns["images"] = np.stack(columns["images"])
    expected_x, expected_y, expected_mask = to_numpy(
        vlm.preprocessor(columns, sequence_length=prepared.text_length)
    )
    assert list(x) == list(vlm.input)
    assert set(x) == set(expected_x)
    for key in x:
        np.testing.assert_array_equal(x[key], expected_x[key], err_msg=key)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(extra["response_mask"], expected_mask)
    assert y.dtype == "int32"


def test_the_mask_covers_the_response_and_its_end(vlm, prepare, make_examples):
    """The loss is a mean over response tokens, the end included."""
    examples = make_examples(4)
    prepared = prepare(examples)
    ((_, y, extra),) = list(prepared.scoring_batches())
    tokenizer = vlm.preprocessor.tokenizer
    for row, mask, example in zip(y, extra["response_mask"], examples):
        assert row[mask][-1] == tokenizer.end_token_id
        text = tokenizer.detokenize(row[mask][:-1])
        assert text.strip() == example["responses"]
    assert prepared.response_mask.dtype == bool
    np.testing.assert_array_equal(
        prepared.response_mask, extra["response_mask"]
    )
    pieces = prepared.response_pieces(0)
    assert (pieces[0].strip("▁"), pieces[-1]) == ("red", "<eos>")


def test_texts_and_ids_are_those_of_the_examples(prepare, make_examples):
    """In their order, whatever the bucket of an example."""
    examples = make_examples()
    prepared = prepare(examples)
    assert len(prepared) == 6
    assert prepared.example_ids == [e["example_id"] for e in examples]
    assert prepared.prompts == tuple(e["prompts"] for e in examples)
    assert prepared.responses == tuple(e["responses"] for e in examples)
    for index, ids in enumerate(prepared.response_ids):
        text = prepared.task.detokenize(ids)
        assert text.strip() == prepared.responses[index]


def test_text_length_fits_the_longest_example(prepare, make_examples):
    """No more padding than to a multiple of 8, and never over the limit."""
    short = make_examples(2, prompts="what\n", responses=["red", "blue"])
    assert prepare(short).text_length == 8
    assert prepare(make_examples(2)).text_length == 8
    prompt = "where is the left red digit right\n"
    longer = make_examples(2, prompts=prompt, responses=["red", "blue one"])
    assert prepare(longer).text_length == 16


def test_another_sequence_length_is_heeded(make_vlm, make_examples):
    """The preprocessor's length decides on what fits."""
    examples = make_examples(2, prompts="describe the image\n")
    exact = make_vlm(sequence_length=8)  # start, 4 + 2, end
    assert PreparedExamples(examples, exact, verbose=0).text_length == 8
    with pytest.raises(ValueError, match="`sequence_length`, 7 tokens"):
        PreparedExamples(examples, make_vlm(sequence_length=7), verbose=0)


@keras.saving.register_keras_serializable(package="prepared_test")
def longer(prompt):
    return "what is the left digit " + prompt


@keras.saving.register_keras_serializable(package="prepared_test")
def too_long(prompt):
    return "what is " * 9 + prompt


def test_a_view_may_need_another_length(prepare, make_examples):
    """Its prompts are longer; those of others are packed already."""
    prepared = prepare(make_examples(2))
    assert prepared.packed_under(View()) is prepared.packed
    token_ids = prepared.packed_under(Paraphrase(longer))[0]
    assert token_ids.shape[1] > prepared.text_length + 1
    with pytest.raises(ValueError, match=r"room.*16 tokens.*\d+ tokens under"):
        prepared.packed_under(Paraphrase(too_long))


def test_no_array_can_be_written_to(prepare):
    """A detection and a training that share them see the same examples."""
    prepared = prepare()
    arrays = [
        *prepared.packed,
        prepared.bucket_of,
        prepared.response_mask,
        *prepared.prompt_ids,
        *prepared.response_ids,
        prepared.with_batch_size(2).bucket_of,
    ]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_list_that_changes_later_changes_no_text(prepare, make_examples):
    """Texts are read once."""
    examples = make_examples()
    prepared = prepare(examples)
    examples[0]["responses"] = "another"
    assert prepared.responses[0] == "red one"
    assert prepared.scoring_batches()[0][1][0].tolist() == (
        prepare().scoring_batches()[0][1][0].tolist()
    )


class CountedRows:
    """Rows that count how often their image is read."""

    def __init__(self, rows):
        self._rows = rows
        self.reads = [0] * len(rows)

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        return CountedRow(self._rows[index], index, self.reads)


class CountedRow(dict):
    def __init__(self, row, index, reads):
        super().__init__(row)
        self._index, self._reads = index, reads

    def get(self, key, default=None):
        self._reads[self._index] += key == "images"
        return super().get(key, default)


def test_each_image_is_read_once(prepare, make_examples):
    """Those of a data set on disk are slow to read, and do not fit."""
    rows = CountedRows(make_examples())
    prepared = prepare(rows)
    assert rows.reads == [1] * 6
    prepared.with_batch_size(2)
    prepared.packed_under(View())
    len(prepared.scoring_batches())
    assert rows.reads == [1] * 6


def test_another_batch_size_shares_everything_else(prepare, monkeypatch):
    """Texts are tokenized and packed once, embeddings kept once."""
    prepared = prepare()
    for name in ("pack", "tokenize", "tokenize_prompts"):
        monkeypatch.setattr(type(prepared.task), name, None)
    other = prepared.with_batch_size(3)
    assert (prepared.batch_size, other.batch_size) == (4, 3)
    for name in ("packed", "prompts", "responses", "images", "task"):
        assert getattr(other, name) is getattr(prepared, name), name
    assert prepared.with_batch_size(4) is prepared
    assert len(prepared.scoring_batches()) == 2
    assert len(other.scoring_batches()) == 2
    assert other.scoring_batches()[0][1].shape[0] == 3
    assert prepared.scoring_batches(6)[0][1].shape[0] == 6


def test_prepared_examples_are_taken_as_they_are(vlm, prepare, make_examples):
    """All others are prepared."""
    prepared = prepare()
    assert PreparedExamples.of(prepared, vlm) is prepared
    assert PreparedExamples.of(prepared, vlm, 2).batch_size == 2
    new = PreparedExamples.of(make_examples(), vlm, verbose=0)
    assert new.batch_size == 16 and new.responses == prepared.responses
    assert (
        PreparedExamples.of(make_examples(), vlm, 5, verbose=0).batch_size == 5
    )


def test_examples_of_another_task_are_refused(prepare, make_vlm):
    """Its tokens may be others, though the words are not."""
    match = "same `vlm`.*prepared for another PaliGemmaCausalLM"
    with pytest.raises(ValueError, match=match):
        PreparedExamples.of(prepare(), make_vlm())


def test_repr_says_what_is_in_it(prepare):
    """For a notebook."""
    assert repr(prepare()) == (
        "<PreparedExamples: 6 examples for PaliGemmaCausalLM, padded to 8 "
        "tokens, in batches of 4>"
    )


def test_duplicate_ids_are_refused(prepare, make_examples):
    """Rows are known by id."""
    examples = make_examples(3)
    examples[2]["example_id"] = "scene-0"
    with pytest.raises(ValueError, match="unique.*'scene-0'"):
        prepare(examples)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_size_below_one_is_refused(
    vlm, prepare, make_examples, batch_size
):
    """Not an endless or an empty epoch."""
    message = f"batch_size={batch_size}"
    with pytest.raises(ValueError, match=message):
        prepare(batch_size=batch_size)
    with pytest.raises(ValueError, match=message):
        prepare().with_batch_size(batch_size)
    for examples in (make_examples(2), prepare()):
        with pytest.raises(ValueError, match=message):
            PreparedExamples.of(examples, vlm, batch_size, verbose=0)


def test_a_model_that_is_no_vlm_is_refused(make_examples):
    """Before the examples are read."""
    rows = CountedRows(make_examples(2))
    with pytest.raises(ValueError, match="PaliGemmaCausalLM.*Sequential"):
        PreparedExamples(rows, keras.Sequential())
    assert rows.reads == [0, 0]


def test_an_image_cache_of_prepared_examples_is_refused(vlm, prepare, tmp_path):
    """They have one already, and another would be left out silently."""
    prepared = prepare()
    with pytest.raises(ValueError, match="`image_cache`.*is known already"):
        PreparedExamples.of(prepared, vlm, image_cache=tmp_path)
    assert PreparedExamples.of(prepared, vlm, image_cache="auto") is prepared
