"""Fewer threads are used where they are clearly faster, and only there."""

import collections
import subprocess
import sys
import types

import keras
import pytest

from keras_byorn import BYORnModel
from keras_byorn.baselines import OracleFlags
from keras_byorn.training.model import make_threads
from keras_byorn.training.threads import NUM_TRIALS, Threads

SEED_LINE = "keras.utils.set_random_seed(0)"


class Machine:
    """Work takes the seconds that are said for a number of threads."""

    def __init__(self, seconds):
        self.count = max(seconds)
        self.seconds = seconds
        self.now = 0.0
        self.used = []
        self.threads = Threads(self.get, self.set, clock=lambda: self.now)

    def get(self):
        return self.count

    def set(self, count):
        self.count = count

    def work(self, units, name="train", size=1.0, factor=1.0):
        for _ in range(units):
            with self.threads(name, size):
                self.used.append(self.count)
                self.now += factor * size * self.seconds[self.count]


@pytest.mark.parametrize(
    "seconds, best",
    [
        ({8: 1.0, 4: 1.5, 2: 2.5, 1: 5.0}, 8),  # a quiet machine
        ({8: 1.0, 4: 0.9, 2: 0.1, 1: 0.1}, 8),  # not clearly better: stays
        ({8: 9.0, 4: 3.0, 2: 4.0, 1: 5.0}, 4),
        ({8: 9.0, 4: 5.0, 2: 3.0, 1: 1.0}, 1),  # others want the cores
        ({6: 9.0, 3: 5.0, 1: 1.0}, 1),
        ({1: 1.0}, 1),
    ],
)
def test_the_fastest_number_is_found(seconds, best):
    """Halving as long as it helps; the backend has its own again after."""
    machine = Machine(seconds)
    with machine.threads.chosen():
        machine.work(20)
        assert machine.count == best
    assert machine.used[-3:] == [best] * 3
    assert machine.count == max(seconds)
    tried = [count for count in seconds if count >= best]
    tried += [max((c for c in seconds if c < best), default=best)]
    assert set(machine.used) <= set(tried)


def test_a_quiet_machine_pays_for_one_try():
    """As soon as fewer threads do not help, all are used again."""
    machine = Machine({8: 1.0, 4: 2.0})
    with machine.threads.chosen():
        machine.work(20)
    assert machine.used[:NUM_TRIALS] == [8] * NUM_TRIALS
    assert machine.used[NUM_TRIALS : 2 * NUM_TRIALS] == [4] * NUM_TRIALS
    assert machine.used[2 * NUM_TRIALS :] == [8] * (20 - 2 * NUM_TRIALS)


def test_size_is_taken_out():
    """Larger batches take longer; that is not the fault of their threads."""
    machine = Machine({2: 1.0, 1: 1.0})
    with machine.threads.chosen():
        machine.work(NUM_TRIALS, size=5.0)
        machine.work(NUM_TRIALS + 1, size=1.0)
    assert machine.used[-1] == 2


def test_size_may_be_told_late():
    """How long a response is, is known when it is written."""
    machine = Machine({2: 1.0, 1: 1.0})
    with machine.threads.chosen():
        for size in [5.0] * NUM_TRIALS + [1.0] * NUM_TRIALS:
            with machine.threads("regenerate") as unit:
                machine.now += size
                unit.size = size
        machine.work(1, "regenerate")
    assert machine.used == [2]


def test_the_first_unit_is_not_timed():
    """It makes what later ones find made."""
    machine = Machine({2: 1.0, 1: 0.9})
    with machine.threads.chosen():
        machine.work(1, factor=100.0)
        machine.work(20)
    assert machine.used[-1] == 2


def test_each_work_has_its_own_number():
    """What is best for training may not be so for a token at a time."""
    machine = Machine({2: 9.0, 1: 1.0})
    with machine.threads.chosen():
        machine.work(20, "train")
        assert machine.used[-1] == 1
        machine.work(1, "regenerate")
        assert machine.used[-1] == 2
        machine.work(1, "train")
        assert machine.used[-1] == 1


def test_every_fit_measures_anew():
    """Other processes come and go, and the user may have set a number."""
    machine = Machine({8: 9.0, 4: 5.0, 2: 3.0, 1: 1.0})
    with machine.threads.chosen():
        machine.work(20)
    machine.count = 2
    machine.seconds = {2: 1.0, 1: 2.0}
    with machine.threads.chosen(), machine.threads.chosen():
        machine.work(20)
    assert machine.used[20] == machine.used[-1] == machine.count == 2
    assert 1 in machine.used[21:]


def test_no_thread_is_touched_outside_a_fit():
    """A user who scores by hand has what the backend was given."""
    machine = Machine({2: 9.0, 1: 1.0})
    machine.work(20)
    assert machine.used == [2] * 20


def test_an_error_leaves_the_threads_as_they_were():
    """And the unit that failed is no measurement."""
    machine = Machine({2: 9.0, 1: 1.0})
    with pytest.raises(RuntimeError), machine.threads.chosen():
        machine.work(NUM_TRIALS)
        with machine.threads("train"):
            assert machine.count == 1
            raise RuntimeError
    assert machine.count == 2
    with machine.threads.chosen():
        machine.work(1)
    assert machine.used[-1] == 2


class Counted(Threads):
    """Remembers the sizes of the units of each work."""

    def __init__(self):
        super().__init__(get=lambda: 1, set=lambda count: None)
        self.sizes = collections.defaultdict(list)

    def __call__(self, work, size=1.0):
        assert self._searches is not None
        self.sizes[work].append(size)
        return super().__call__(work, size)


def test_all_work_of_a_fine_tune_is_measured(
    make_vlm, make_examples, make_batches, monkeypatch
):
    """Each batch where it runs operation by operation; else it is compiled."""
    monkeypatch.setattr("keras_byorn.training.model.make_threads", Counted)
    vlm = make_vlm(lora_rank=2)
    batches = make_batches(vlm, make_examples(8), batch_size=4)
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.1))
    defence = OracleFlags(["scene-0", "scene-1"], verbose=0)
    model.fit(batches, epochs=2, callbacks=[defence], verbose=0)
    sizes = model.threads.sizes
    assert len(sizes["regenerate 1"]) == 2
    if keras.config.backend() == "torch":
        _, y, _ = batches[0]
        positions = y.size + 4 * batches.task.prefix_length
        assert sizes["score"] == [positions] * 2
        assert sizes["train"] == [positions] * 4
    else:
        assert len(sizes["score"]) >= 1 and not sizes["train"]


def numbers_tried(monkeypatch, given=4, before_work=lambda: None):
    """Numbers of threads that work is tried with, of the backend's own."""
    counts = [given]
    if keras.config.backend() == "torch":
        import torch

        monkeypatch.setattr(torch, "get_num_threads", lambda: counts[-1])
        monkeypatch.setattr(torch, "set_num_threads", counts.append)
    threads = make_threads()
    before_work()
    with threads.chosen():
        for _ in range(NUM_TRIALS + 1):
            with threads("train"):
                pass
    return set(counts)


@pytest.fixture
def unseeded(monkeypatch):
    """As a process begins: nobody has asked for the same runs again."""
    if keras.config.backend() == "torch":
        import torch

        monkeypatch.setattr(torch, "initial_seed", lambda: 2**50)
        zeros = types.SimpleNamespace(device=torch.device("cpu"))
        monkeypatch.setattr(keras.ops, "zeros", lambda shape: zeros)


def test_only_torch_has_its_threads_chosen(monkeypatch, unseeded):
    """The other backends compile, and see to it themselves."""
    on_torch = keras.config.backend() == "torch"
    assert numbers_tried(monkeypatch) == ({4, 2} if on_torch else {4})


def test_threads_stay_where_runs_must_be_the_same(monkeypatch, unseeded):
    """Sums are rounded otherwise by another number of threads."""

    def ask():
        if keras.config.backend() == "torch":
            import torch

            name = "are_deterministic_algorithms_enabled"
            monkeypatch.setattr(torch, name, lambda: True)

    assert numbers_tried(monkeypatch, before_work=ask) == {4}


def test_threads_stay_after_a_seed(monkeypatch):
    """Who sets one wants the same run again."""
    keras.utils.set_random_seed(7)
    assert numbers_tried(monkeypatch) == {4}


@pytest.mark.skipif(
    keras.config.backend() != "torch", reason="the others choose themselves"
)
@pytest.mark.parametrize("line, chosen", [("", True), (SEED_LINE, False)])
def test_a_process_begins_without_a_seed(line, chosen):
    """What PyTorch says of its seed then is not what a user would give."""
    code = (
        "import keras\n"
        "from keras_byorn.training.train_step_torch import *\n"
        f"{line}\n"
        "print(may_choose_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    on_gpu = keras.ops.zeros(()).device.type != "cpu"
    assert done.stdout.split()[-1] == str(chosen and not on_gpu)


def test_threads_stay_on_a_gpu(monkeypatch, unseeded):
    """There they only hand out the work, which goes on by itself."""
    if keras.config.backend() == "torch":
        import torch

        on_gpu = types.SimpleNamespace(device=torch.device("cuda"))
        monkeypatch.setattr(keras.ops, "zeros", lambda shape: on_gpu)
    assert numbers_tried(monkeypatch) == {4}


def test_a_real_fit_gives_the_threads_back(make_vlm, make_batches, monkeypatch):
    """With whatever it found."""
    vlm = make_vlm(lora_rank=2)
    batches = make_batches(vlm)
    counts = [2]

    def fit():
        model = BYORnModel(vlm)
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(batches, epochs=4, validation_data=batches, verbose=0)

    if keras.config.backend() != "torch":
        fit()  # has none to give
        return
    import torch

    monkeypatch.setattr(torch, "initial_seed", lambda: 2**50)
    given, set_num_threads = torch.get_num_threads(), torch.set_num_threads

    def noting(count):
        counts.append(count)
        set_num_threads(count)

    monkeypatch.setattr(torch, "set_num_threads", noting)
    set_num_threads(2)
    try:
        with keras.device("cpu"):
            fit()
        assert 1 in counts and torch.get_num_threads() == 2
    finally:
        set_num_threads(given)
