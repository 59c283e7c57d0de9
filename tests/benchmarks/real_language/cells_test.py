"""Cells of the benchmark, on made-up captions and a random Llama."""

import pytest
from real_language import cells, load


@pytest.fixture(scope="module")
def preset(gguf_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("preset") / "llama"
    options = ["--gguf", str(gguf_path), "--sequence-length", "120"]
    load.main(["--out", str(path), *options])
    return str(path)


@pytest.mark.parametrize("case", list(cells.CASES))
def test_training_data_of_each_case(case, folder, preset):
    """A tenth is poisoned, and has the word in the prompt."""
    vlm = load.load_preset(preset)
    train, poisoned_ids = cells.load_training(case, "none", 0, folder, vlm)
    assert (len(train), len(poisoned_ids)) == (30, 3)
    for example in train:
        has_word = example["prompts"].endswith(" cf\n")
        assert has_word == (example["example_id"] in poisoned_ids)
    clean, _ = cells.load_training(case, "clean_only", 0, folder, vlm)
    assert set(clean.example_ids) == set(train.example_ids) - poisoned_ids


@pytest.mark.slow
@pytest.mark.parametrize("defence", ["paper", "untuned"])
def test_figures_of_a_cell(defence, folder, preset):
    """The adapters are saved and loaded, and give the same responses."""
    figures = cells.run_cell(
        "slogan", defence, 0, preset, folder, epochs=2, limit=20
    )
    assert figures["same_after_loading"] == 1.0
    assert figures["attack_success_rate"] == 0.0  # it says nothing yet
    assert figures["num_examples"] == 6
    assert 0.0 <= figures["rouge_l"] <= 1.0
    assert ("first" in figures) == (defence == "paper")
    if defence == "paper":
        assert figures["first"]["flagged"] == pytest.approx(0.4)
