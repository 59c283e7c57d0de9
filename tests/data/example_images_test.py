"""Images of examples: pixels, or what a frozen tower made of them."""

import numpy as np
import pytest

from keras_byorn.data.examples import Examples
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.views import BlankImage, Blur, NoPrompt, ShuffledImage


class MovingRows(list):
    """Rows of a source that fails once it has a fault."""

    fault = None

    def __getitem__(self, index):
        if self.fault is not None:
            raise self.fault
        return super().__getitem__(index)


DECODER = ["query", "value"]  # adapted alone, so that the tower stays frozen


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """A tiny PaliGemma with a frozen tower that no test here changes."""
    vlm = make_vlm()
    vlm.backbone.enable_lora(4, target_layer_names=DECODER)
    return vlm


@pytest.fixture
def prepare(vlm, make_examples):
    """A function that prepares examples, and its frozen tower."""

    def make(examples=None, **kwargs):
        prepared = PreparedExamples(
            examples or make_examples(),
            vlm,
            batch_size=6,
            verbose=0,
            **kwargs,
        )
        return prepared, prepared.task.frozen_vision()

    return make


def inputs(prepared, view=None):
    return prepared.scoring_batches(view=view)[0][0]


def test_float_images_in_range_are_seen_as_bytes_are(prepare, make_examples):
    """Correct use is silent, and gives the same pixels."""
    examples = make_examples(2)
    expected = inputs(prepare(examples)[0])["images"]
    for example in examples:
        example["images"] = example["images"].astype("float32")
    images = inputs(prepare(examples)[0])["images"]
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert -1.0 <= images.min() < -0.9 and 0.9 < images.max() <= 1.0


def test_pixels_are_those_of_the_examples_at_these_positions(
    prepare, make_examples
):
    """Changed by a view, where there is one."""
    prepared, _ = prepare()
    examples = make_examples()
    expected = np.stack([examples[i]["images"] for i in (4, 1)])
    np.testing.assert_array_equal(prepared.images.pixels([4, 1]), expected)
    blank = prepared.images.pixels([4, 1], BlankImage())
    assert blank.shape == expected.shape and set(blank.flat) == {127.5}
    view = ShuffledImage()
    places = view.positions(np.array([4, 1]), 6)
    np.testing.assert_array_equal(
        prepared.images.pixels([4, 1], view),
        np.stack([examples[i]["images"] for i in places]),
    )


def test_embeddings_are_shown_within_the_block_alone(prepare, tmp_path):
    """Batches bring images again after it, and after an error in it."""
    prepared, vision = prepare(image_cache=tmp_path)
    assert set(inputs(prepared)) == set(prepared.task.input_names)
    with prepared.images_encoded(vision):
        assert "images" not in inputs(prepared)
        with prepared.images_encoded(None):
            assert "image_embeddings" in inputs(prepared)
        assert "image_embeddings" in inputs(prepared)
    assert "images" in inputs(prepared)
    with pytest.raises(RuntimeError), prepared.images_encoded(vision):
        raise RuntimeError
    assert "images" in inputs(prepared)


def test_views_of_pixels_are_shown_pixels(prepare):
    """The others are shown embeddings, a shuffled one those of another."""
    prepared, vision = prepare()
    blurred = inputs(prepared, Blur())["images"]
    with prepared.images_encoded(vision):
        own = inputs(prepared)["image_embeddings"]
        for view in (Blur(), BlankImage()):
            x = inputs(prepared, view)
            assert "image_embeddings" not in x, view
            if isinstance(view, Blur):
                np.testing.assert_array_equal(x["images"], blurred)
        x = inputs(prepared, NoPrompt())
        np.testing.assert_array_equal(x["image_embeddings"], own)
        view = ShuffledImage()
        expected = own[view.positions(np.arange(6), 6)]
        x = inputs(prepared, view)
        np.testing.assert_array_equal(x["image_embeddings"], expected)


def test_the_cache_can_be_off_or_in_a_folder(prepare, tmp_path):
    """`None` is images; a folder is there after the run."""
    prepared, vision = prepare(image_cache=None)
    with prepared.images_encoded(vision):
        assert "images" in inputs(prepared)
    folder = tmp_path / "new"
    prepared, vision = prepare(image_cache=str(folder))
    with prepared.images_encoded(vision):
        assert "image_embeddings" in inputs(prepared)
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(ValueError, match="`image_cache` must be.*Received: im"):
        prepare(image_cache=3)


def test_embeddings_are_shared_by_all_batch_sizes(prepare):
    """And computed once, whoever asks first."""
    prepared, vision = prepare()
    other = prepared.with_batch_size(2)
    with other.images_encoded(vision):
        shown = inputs(prepared)["image_embeddings"]
        np.testing.assert_array_equal(
            inputs(other)["image_embeddings"], shown[:2]
        )


def test_a_progress_bar_is_shown_where_it_is_asked_for(prepare, capsys):
    """Encoding a large data set takes minutes."""
    prepared, vision = prepare()
    with prepared.images_encoded(vision, verbose=0):
        assert capsys.readouterr().out == ""
    prepared, vision = prepare()
    with prepared.images_encoded(vision, verbose=1):
        said = capsys.readouterr().out
    assert "Encoding images once" in said and "6/6" in said
    with prepared.images_encoded(vision, verbose=1):
        assert capsys.readouterr().out == ""  # they are known


def test_images_are_read_when_they_are_shown(prepare, make_examples):
    """A data set on disk does not fit into memory."""
    rows = make_examples()
    prepared, _ = prepare(Examples(rows))
    rows[3]["images"] = rows[3]["images"].copy()
    assert prepared.images.pixels([3])[0].tolist() == rows[3]["images"].tolist()


@pytest.mark.parametrize("view", [None, BlankImage(), ShuffledImage()])
def test_an_image_that_nobody_checked_is_refused(prepare, make_examples, view):
    """Whenever it is read, as it comes or under a view."""
    rows = make_examples()
    prepared, _ = prepare(Examples(rows))
    for row in rows:
        row["images"] = row["images"] ^ 1
    with pytest.raises(ValueError, match="must not change.*in example '"):
        prepared.images.pixels([3], view)


def test_a_source_that_fails_or_shrinks_names_the_example(
    prepare, make_examples
):
    """A disk may go away, and a file be cut, in the second epoch."""
    rows = MovingRows(make_examples())
    prepared, _ = prepare(Examples(rows, [f"{i}" for i in range(len(rows))]))
    for fault in (OSError("disk gone"), IndexError("3 rows")):
        rows.fault = fault
        with pytest.raises(ValueError, match=f"example '3'.*{fault}"):
            prepared.images.pixels([3])
