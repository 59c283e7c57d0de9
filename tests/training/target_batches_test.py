"""Batches of targets: their shape, their order, and replacements in them."""

import keras
import numpy as np
import pytest

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.target_store import TargetStore

NUM_EXAMPLES, BATCH_SIZE = 10, 4


def numpy(tree):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tree)


def converted(batches, images):
    """Pixels as the backbone wants them."""
    converter = batches.task.preprocessor.image_converter
    return numpy(converter(np.stack(images)))


def first_tokens(batches):
    """First response token of each row of weight above 0, in order."""
    return [
        int(row[mask][0])
        for _, y, extra in batches
        for row, mask, weight in zip(y, extra["response_mask"], extra["weight"])
        if weight > 0
    ]


def score(batches, suspects):
    """Sets scores by hand: suspects have probability 1."""
    probability = np.zeros(len(batches.examples))
    probability[list(suspects)] = 1.0
    plausibility = -1.0 - np.arange(len(probability))
    batches.store.set_scores(plausibility, probability)


@pytest.mark.parametrize("num_suspect", [0, 3, 9])
def test_every_batch_has_one_shape(
    vlm, make_examples, make_batches, num_suspect
):
    """One compilation; the fillers of a short batch weigh nothing."""
    examples = make_examples(NUM_EXAMPLES)
    batches = make_batches(vlm, examples, batch_size=BATCH_SIZE)
    score(batches, range(num_suspect))
    num_rows = NUM_EXAMPLES - num_suspect
    assert len(batches) == -(-num_rows // BATCH_SIZE)
    shapes, weights = set(), []
    for x, y, extra in batches:
        flat = keras.tree.flatten((x, y, extra))
        shapes.add(tuple(values.shape for values in flat))
        assert y.shape == extra["response_mask"].shape
        assert y.shape == (BATCH_SIZE, batches.prepared.text_length)
        assert extra["response_mask"].dtype == bool
        assert extra["weight"].dtype == "float32"
        assert extra["response_mask"].any(axis=-1).all()
        weights += list(extra["weight"])
    assert len(shapes) == 1
    assert weights == [1.0] * num_rows + [0.0] * (-num_rows % BATCH_SIZE)


def test_order_is_of_the_seed_and_new_in_each_epoch(
    vlm, make_examples, make_batches
):
    """Same seed, same run; and every epoch holds every example once."""
    digits = "one two three four five six seven eight nine red".split()
    examples = make_examples(10, responses=digits)

    def epochs(**kwargs):
        batches = make_batches(vlm, examples, **kwargs)
        orders = []
        with batches.starting():
            batches.begin_training()
            for _ in range(3):
                orders.append(first_tokens(batches))
                batches.next_epoch()
        return orders

    in_order = epochs(shuffle=False)
    assert in_order[0] == in_order[1] == in_order[2]
    orders = epochs(shuffle=True, seed=1)
    assert orders == epochs(shuffle=True, seed=1)
    assert orders[0] != epochs(shuffle=True, seed=2)[0]
    assert len({tuple(order) for order in (*orders, in_order[0])}) == 4
    for order in orders:
        assert sorted(order) == sorted(in_order[0])


def test_a_look_at_the_data_does_not_change_the_next_epoch(
    vlm, make_examples, make_batches
):
    """`evaluate` before `fit` must not give another run."""
    batches = make_batches(vlm, make_examples(10), shuffle=True)
    before = first_tokens(batches)
    batches.on_epoch_begin()  # as `evaluate` does
    batches.on_epoch_end()
    assert first_tokens(batches) == before


def test_replacement_ids_are_used_as_they_are(vlm, make_examples, make_batches):
    """Generated text does not tokenise to the ids that were generated."""
    examples = make_examples(4)
    batches = make_batches(vlm, examples)
    tokenizer = vlm.preprocessor.tokenizer
    ids = [tokenizer.token_to_id(letter) for letter in "red"]
    assert list(batches.task.tokenize(["red"])[0]) != ids
    score(batches, [2])
    assert len(first_tokens(batches)) == 3
    batches.store.replace("scene-2", "red", ids)
    rows = {}
    for x, y, extra in batches:
        for index, weight in enumerate(extra["weight"]):
            mask = extra["response_mask"][index]
            key = float(extra["plausibility"][index])
            rows[key] = x["images"][index], y[index], mask, weight
    image, y, mask, weight = rows[-3.0]  # the score of the third example
    assert list(y[mask]) == [*ids, tokenizer.end_token_id]
    assert weight == 1.0
    expected = converted(batches, [examples[2]["images"]])[0]
    np.testing.assert_array_equal(image, expected)
    prompt = batches.prepared.prompt_ids[2]
    np.testing.assert_array_equal(y[: len(prompt)], prompt)

    batches.store.replace("scene-2", "blue", ids[::-1])
    tokens = [list(row) for _, y, _ in batches for row in y]
    assert any(row[len(prompt) :][:3] == ids[::-1] for row in tokens)
    assert not any(row[len(prompt) :][:3] == ids for row in tokens)


def test_plausibility_comes_along_once_it_is_known(
    vlm, make_examples, make_batches
):
    """And belongs to the row that it stands beside."""
    examples = make_examples(NUM_EXAMPLES)
    batches = make_batches(vlm, examples, shuffle=True, seed=5)
    assert "plausibility" not in batches[0][2]
    score(batches, [])
    images = converted(batches, [example["images"] for example in examples])
    for x, _, extra in batches:
        for image, plausibility in zip(x["images"], extra["plausibility"]):
            index = int(-1.0 - plausibility)
            np.testing.assert_array_equal(image, images[index])


def test_examples_are_prepared_once(vlm, make_examples):
    """Two batches of one `PreparedExamples` share it, and not their store."""
    prepared = PreparedExamples(make_examples(6), vlm, batch_size=4, verbose=0)
    first, second = TargetBatches(prepared, vlm), TargetBatches(prepared, vlm)
    assert first.prepared is second.prepared is prepared
    assert first.batch_size == 4 and first.store is not second.store
    other = TargetBatches(prepared, vlm, batch_size=2)
    assert other.batch_size == 2 and prepared.batch_size == 4
    assert other.prepared.packed is prepared.packed
    plain = TargetBatches(make_examples(6), vlm, verbose=0)
    assert plain.batch_size == 16


def test_batches_show_their_counts(vlm, make_examples, make_batches):
    """Examples, batches, and suspects once there are some."""
    batches = make_batches(vlm, make_examples(10))
    score(batches, [1, 2])
    assert repr(batches) == (
        "<TargetBatches: 2 batches of up to 4 of 10 examples, "
        "2 of them held out>"
    )


@pytest.mark.parametrize(
    "kwargs", [{"workers": 2}, {"workers": 1, "use_multiprocessing": True}]
)
def test_more_than_one_worker_is_refused(vlm, make_examples, kwargs):
    """Keras would serve stale, doubled and missing batches."""
    with pytest.raises(ValueError, match=r"`workers`.*stale.*workers=\d"):
        TargetBatches(make_examples(2), vlm, **kwargs)


@pytest.mark.parametrize("workers", [0, 1])
def test_one_worker_is_fine(vlm, make_examples, workers):
    """Both are the calling process's own thread of batches."""
    assert len(TargetBatches(make_examples(2), vlm, workers=workers)) == 1


def test_every_batch_that_fit_is_told_of_can_be_read(
    vlm, make_examples, make_batches
):
    """TensorFlow reads two before training, though an epoch may have one."""
    batches = make_batches(vlm, make_examples(6), batch_size=3)
    score(batches, [0, 1, 2])
    with batches.starting():
        assert batches.num_batches == 2  # with all suspects replaced
        first, second = batches[0], batches[1]
    assert list(first[2]["weight"]) == [1, 1, 1]
    assert not second[2]["weight"].any()
    for one, other in zip(
        keras.tree.flatten(first), keras.tree.flatten(second)
    ):
        assert one.shape == other.shape and one.dtype == other.dtype


def test_a_store_of_other_examples_is_refused(vlm, make_examples):
    """Targets of yesterday's data must not meet today's images."""
    store = TargetStore(["x", "y"], ["p", "p"], ["r", "r"])
    with pytest.raises(ValueError, match="`store`.*2 examples for 3"):
        TargetBatches(make_examples(3), vlm, store=store)


def test_what_is_no_vlm_is_refused(make_examples):
    """Before the examples are read."""
    with pytest.raises(ValueError, match="PaliGemmaCausalLM.*Sequential"):
        TargetBatches(make_examples(2), keras.Sequential())


def masked_batches(vlm, make_examples, make_batches):
    """Batches without a mask, and with tokens 1 and 2 of the second masked."""
    texts = ["red one", "red what is one two", "blue two", "green six"]
    examples = make_examples(4, responses=texts)
    plain, batches = (make_batches(vlm, examples) for _ in range(2))
    for one in (plain, batches):
        one.store.set_scores([-1.0, -9.0, -1.0, -1.0], [0.0, 0.5, 0.0, 0.0])
    batches.store.mask("scene-1", [1, 2], "red one two")
    return plain, batches


def test_masked_tokens_are_no_targets(vlm, make_examples, make_batches):
    """Nor is the one after them; the inputs are as without a mask."""
    plain, batches = masked_batches(vlm, make_examples, make_batches)
    ((x, y, extra),) = list(batches)
    ((plain_x, plain_y, whole),) = list(plain)
    for key in x:
        np.testing.assert_array_equal(x[key], plain_x[key], err_msg=key)
    np.testing.assert_array_equal(y, plain_y)
    words = vlm.preprocessor.tokenizer.id_to_token
    left = [words(i) for i in y[1][extra["response_mask"][1]]]
    assert left == ["▁red", "▁two", "<eos>"]
    assert extra["weight"].tolist() == [1.0] * 4
    others = [0, 2, 3]
    np.testing.assert_array_equal(
        extra["response_mask"][others], whole["response_mask"][others]
    )
    # Those of the originals are as they came.
    assert batches.prepared.response_mask[1].sum() == 6
    assert batches.prepared.scoring_batches().response_mask[1].sum() == 6


def test_a_masked_example_is_not_for_the_loss_history(
    vlm, make_examples, make_batches
):
    """Its loss is not that of a whole response."""
    _, batches = masked_batches(vlm, make_examples, make_batches)
    ((_, _, extra),) = list(batches)
    assert extra["position"].tolist() == [0, 4, 2, 3]


def test_the_end_after_an_appended_span_is_no_target(
    vlm, make_examples, make_batches
):
    """It is predicted from the span."""
    examples = make_examples(2, responses=["red one what is", "blue two"])
    batches = make_batches(vlm, examples)
    batches.store.set_scores([-9.0, -1.0], [1.0, 0.0])
    batches.store.mask("scene-0", [2, 3], "red one")
    out = batches.out_of_loss([0, 1])
    assert out.shape == (2, batches.prepared.text_length)
    assert out.sum(axis=-1).tolist() == [3, 0]
    assert (out & ~batches.prepared.response_mask).sum() == 0
