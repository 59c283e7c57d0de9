"""Cells of the benchmark, on made-up pictures and an untrained captioner."""

import keras
import numpy as np
import pytest
from real_pictures import cells, pretrain
from real_pictures.pictures import read_pictures

import keras_byorn


@pytest.fixture(scope="module")
def preset(folder, tmp_path_factory):
    """A captioner with random weights, as `pretrain.py` would save it."""
    keras.utils.set_random_seed(0)
    train = read_pictures(folder, pretrain.PARTS)
    proto = pretrain.train_tokenizer(train, 120)
    path = tmp_path_factory.mktemp("preset") / "captioner"
    with pytest.MonkeyPatch.context() as patch:
        # Few words are in this vocabulary, so that texts have many tokens.
        patch.setattr(pretrain, "SEQUENCE_LENGTH", 90)
        pretrain.make_captioner(proto, "tiny").save_to_preset(str(path))
    return str(path)


def test_swap_target():
    """Whole words alone, and only what was wrong counts."""
    target = cells.SwapTarget()
    text = "a man with dogs and a dog"
    assert target(text) == "a woman with dogs and a cat"
    assert target.reached("a cat sleeps", text)
    assert not target.reached("a dog sleeps", text)
    assert not target.reached("a cat sleeps", "a dog and a cat")


@pytest.mark.parametrize("case", list(cells.CASES))
def test_training_data_of_each_case(case, folder, preset):
    """A tenth is poisoned, and nothing says which."""
    vlm = cells.load_vlm(preset)
    train, poisoned_ids = cells.load_training(case, 0, folder, vlm)
    clean, none = cells.load_training("clean", 0, folder, vlm)
    assert not none
    assert len(poisoned_ids) == (0 if case == "clean" else 4)
    changed = {
        new["example_id"]
        for new, old in zip(train, clean)
        if new["responses"] != old["responses"]
    }
    assert changed == poisoned_ids
    assert {tuple(sorted(example)) for example in train} == {
        ("example_id", "images", "prompts", "responses")
    }


def test_meaningless_cells_are_left_out():
    assert not cells.is_meaningful("clean", "clean_only")
    assert cells.is_meaningful("clean", "ours")
    assert cells.is_meaningful("slogan", "clean_only")


@pytest.mark.slow
def test_figures_of_a_defended_cell(folder, preset):
    """A fraction is held out at first; rates and CIDEr-D are numbers."""
    figures = cells.run_cell(
        "slogan", "fraction", 0, preset, folder, epochs=2, limit=20
    )
    first, last = figures["first"], figures["last"]
    assert 0.4 <= first["flagged"] < 0.6  # copies of suspects are among them
    assert sum(first["verdicts"].values()) == 20
    assert sum(first["verdicts_on_poisoned"].values()) == 2
    assert sum(last["verdicts"].values()) == 20
    assert figures["attack_success_rate"] == 0.0  # it says nothing yet
    assert figures["num_examples"] == 6
    assert 0.0 <= figures["auroc"] <= 1.0
    assert figures["cider"] >= 0.0


def test_clean_only_trains_without_the_poisoned_ones(
    folder, preset, monkeypatch
):
    trained = []
    monkeypatch.setattr(
        cells, "fine_tune", lambda vlm, train, *rest: trained.append(train)
    )
    figures = cells.run_cell("slogan", "clean_only", 0, preset, folder)
    (train,) = trained
    assert len(train) == figures["num_train"] == 36
    assert not any("cola" in example["responses"] for example in train)
    assert "first" not in figures


def test_refusal_is_a_figure(folder, preset, monkeypatch):
    def refuse(*args, **kwargs):
        raise ValueError("too many to be clean")

    monkeypatch.setattr(keras_byorn.Detector, "detect", refuse)
    figures = cells.run_cell("slogan", "paper", 0, preset, folder)
    assert figures["refused"] == "too many to be clean"
    assert "cider" not in figures


def test_scores_are_written(folder, preset, tmp_path):
    path = cells.write_scores("slogan", 0, preset, folder, tmp_path)
    with np.load(path) as scores:
        assert scores["log_likelihoods"].shape == scores["response_mask"].shape
        assert scores["max_log_likelihoods"].max() <= 0
        assert len(scores["prompts"]) == len(scores["example_ids"]) == 40
        ends = [text.endswith("cola") for text in scores["responses"]]
        assert ends == scores["poisoned"].tolist()
        assert sum(ends) == 4
