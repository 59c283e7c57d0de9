"""Counts of the defence are told in words, and kept as integers."""

import keras

import keras_byorn
from keras_byorn.training.progress import counts_line


def test_zero_counters_are_left_out():
    logs = {
        "num_held_out": 400,
        "num_suspect": 400,
        "num_masked": 0,
        "num_regenerated": 1234,
    }
    assert counts_line(logs, 4000) == (
        "Targets: 400 of 4,000 (10.0 %) held out, 1,234 regenerated"
    )


def test_probation_is_told_and_clusters_are_not():
    logs = {"num_held_out": 400, "num_suspect": 100}
    logs |= {"num_on_probation": 300, "cluster_1": 100}
    assert counts_line(logs, 4000) == (
        "Targets: 400 of 4,000 (10.0 %) held out, 300 on probation"
    )


def test_the_bar_has_no_counts_and_history_has_them(vlm, make_batches, capsys):
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    batches = make_batches(vlm)
    history = model.fit(
        batches, callbacks=[keras_byorn.BYORnCallback()], verbose=2
    ).history
    printed = capsys.readouterr().out
    assert "num_" not in printed and "cluster_" not in printed
    assert "loss" in printed
    (held_out,) = history["num_held_out"]
    assert f"Targets: {held_out} of 6 (" in printed
    assert isinstance(held_out, int) and history["num_alarms"] == [0]
    assert history["num_on_probation"] == history["cluster_1"] == [held_out]
    assert history["num_suspect"] == [0]
    assert type(history["cluster_1"][0]) is int


def test_a_silent_fit_prints_nothing(vlm, make_batches, capsys):
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    batches = make_batches(vlm, verbose=0)
    capsys.readouterr()
    defence = keras_byorn.BYORnCallback(verbose=0)
    model.fit(batches, epochs=2, callbacks=[defence], verbose=0)
    assert capsys.readouterr().out == ""
