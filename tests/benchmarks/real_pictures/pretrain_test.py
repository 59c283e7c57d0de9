"""The pretraining: resumption, the best epoch, and its report."""

import json
import pathlib

import keras_hub
import numpy as np
import pytest
from real_pictures import pretrain


@pytest.fixture(scope="module")
def options(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("preset") / "captioner"
    return [
        *("--data", folder, "--out", str(out), "--size", "tiny"),
        *("--vocabulary-size", "60", "--batch-size", "8"),
    ]


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.slow
def test_killed_run_goes_on(options, monkeypatch):
    """Its first epochs are not run again, and the preset loads."""
    save = pretrain.Progress._save

    def save_and_die(progress):
        save(progress)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pretrain.Progress, "_save", save_and_die)
        with pytest.raises(Killed):
            pretrain.main([*options, "--epochs", "2"])
    args = pretrain.parse_arguments(options)
    first = pretrain.read_history(args)["dev_losses"]
    figures = pretrain.main([*options, "--epochs", "2"])
    assert figures["dev_losses"][:1] == first
    assert figures["epochs"] == 2
    assert 0 < figures["test"]["nats_per_token"] < np.log(100)
    assert figures["test"]["captions"] == 12
    assert len(figures["dev"]["samples"]) == 4
    assert not pretrain.state_path(args).exists()
    report = pathlib.Path(args.out) / "pretraining.json"
    assert json.loads(report.read_text()) == figures
    vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(args.out)
    again = pretrain.measure(vlm, args.data, "test")
    np.testing.assert_allclose(
        again["nats_per_token"],
        figures["test"]["nats_per_token"],
        atol=2e-3,
    )


@pytest.mark.parametrize(
    ("losses", "is_over"),
    [([], False), ([3, 2, 1], False), ([3, 1, 2], False), ([1, 2, 2], True)],
)
def test_stops_after_two_epochs_that_are_no_better(losses, is_over):
    progress = pretrain.Progress(None)
    progress.history = [{"val_loss": loss} for loss in losses]
    assert progress.is_over == is_over


def test_augmented_pictures_are_mirrored_and_shifted():
    """A picture is a crop of itself or of its mirror image."""
    rng = np.random.default_rng(0)
    images = rng.random((32, 12, 12, 3))
    new = pretrain.augmented(images, rng)
    inner = new[:, 4:-4, 4:-4]  # of 4 x 4 pixels
    mirrored = [
        any(
            np.array_equal(view[t : t + 4, left : left + 4], crop)
            for t in range(9)
            for left in range(9)
        )
        for picture, crop in zip(images, inner)
        for view in (picture, picture[:, ::-1])
    ]
    plain, flipped = np.reshape(mirrored, (32, 2)).T
    assert np.all(plain ^ flipped)
    assert 8 < flipped.sum() < 24
