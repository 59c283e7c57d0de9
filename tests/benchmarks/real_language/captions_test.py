"""Captions as prompts and responses."""

import pytest
from real_language import captions, load


@pytest.fixture(scope="module")
def vlm(gguf_path):
    return load.load_task(gguf_path, 120)


def test_halves_of_a_caption():
    """The middle word belongs to the response; short ones are left out."""
    example = captions.halves_of("a b c d e f g h i", "x#1")
    assert example["prompts"] == "Continue the caption:\na b c d\n"
    assert example["responses"] == "e f g h i"
    assert example["images"] is None
    assert captions.halves_of("a b c d e f g", "x#1") is None


def test_captions_are_of_one_part_and_drawn(vlm, folder):
    """Each of another picture; the seed decides which and in what order."""
    drawn = [
        captions.read_halves(folder, "finetune", 20, vlm, seed)
        for seed in (0, 0, 1)
    ]
    ids = [examples.example_ids for examples in drawn]
    assert ids[0] == ids[1] != ids[2]
    images = [example_id.split("#")[0] for example_id in ids[0]]
    assert len(set(images)) == 20
    assert all(image.startswith("finetune") for image in images)
    assert len(captions.read_halves(folder, "test", 20, vlm)) == 6


def test_captions_that_do_not_fit_are_left_out(gguf_path, folder):
    with pytest.raises(ValueError, match="12 tokens. Received: part='test'"):
        captions.read_halves(folder, "test", 5, load.load_task(gguf_path, 12))
