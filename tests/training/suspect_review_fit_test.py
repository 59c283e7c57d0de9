"""The review in a fit: what comes back of poison, and of honest examples."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_byorn import attacks
from keras_byorn.data.digit_scenes import load_digit_scenes
from keras_byorn.data.examples import Examples
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.tiny_models import tiny_preset

NAMES = ("patch", "insertion", "concept")
NUM_EXAMPLES = 256


class Fit:
    """Three epochs by the defaults, on three attacks of 8 % each."""

    def __init__(self):
        keras.utils.set_random_seed(0)
        scenes = load_digit_scenes("terse_captions", NUM_EXAMPLES, 8, 5)
        examples, taken = Examples(scenes["train"]), set()
        self.poisoned = {}
        for seed, name in enumerate(NAMES):
            attack = attacks.ATTACKS[name]()
            examples, ids = attacks.poison_examples(
                examples, attack, rate=0.08, seed=seed, exclude=taken
            )
            taken |= ids
            self.poisoned[name] = self.positions(examples, ids)
        self.honest = np.full(len(examples), True)
        self.honest[self.positions(examples, taken)] = False
        vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(tiny_preset())
        batches = TargetBatches(examples, vlm, batch_size=32, verbose=0)
        model = BYORnModel(vlm)
        model.compile(
            keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.9)
        )
        self.defence = BYORnCallback(verbose=0)
        self.history = model.fit(
            batches, epochs=3, callbacks=[self.defence], verbose=0
        ).history
        self.rows = list(batches.store.rows())

    @staticmethod
    def positions(examples, ids):
        known = enumerate(examples.example_ids)
        return [n for n, example_id in known if example_id in ids]

    def origins(self, positions):
        return [self.rows[index].origin for index in positions]


@pytest.fixture(scope="module")
def run():
    return Fit()


@pytest.mark.slow
def test_no_poison_comes_back(run):
    """One text is replaced, the phrase masked, the plausible left out."""
    origins = {name: run.origins(run.poisoned[name]) for name in NAMES}
    assert set(origins["patch"]) == {"regenerated"}
    assert set(origins["insertion"]) <= {"masked", "excluded"}
    assert set(origins["concept"]) == {"excluded"}
    verdicts = {
        run.rows[i].verdict for found in run.poisoned.values() for i in found
    }
    assert not verdicts & {"restored", "kept"}


@pytest.mark.slow
def test_nearly_all_honest_examples_come_back(run):
    """Of the third that was held out at first."""
    detection, store = run.defence.detection, run.defence.store
    at_first = int(np.sum(detection.held_out & run.honest))
    at_last = int(np.sum(store.suspects & run.honest))
    count = int(run.honest.sum())
    assert at_first >= 0.25 * count and at_last <= 0.05 * count
    origins = run.origins(np.flatnonzero(run.honest))
    assert set(origins) <= {"original", "excluded"}


@pytest.mark.slow
def test_the_counts_of_history_are_those_of_the_store(run):
    history, store = run.history, run.defence.store
    assert history["num_held_out"][-1] == store.suspects.sum()
    both = np.add(history["num_suspect"], history["num_on_probation"])
    assert list(both) == history["num_held_out"]
    assert history["num_on_probation"][0] > history["num_on_probation"][-1]
    restored = history["num_restored"]
    assert restored[0] == 0
    assert restored[-1] == np.sum(store.verdicts == "restored")
    clusters = run.defence.detection.clusters
    for cluster in clusters[:8]:
        counts = history[f"cluster_{cluster.number}"]
        members = run.defence.detection.cluster == cluster.number
        assert counts[0] == cluster.size
        assert counts[-1] == np.sum(store.suspects & members)
