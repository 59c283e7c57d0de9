"""Memory, speed and name of the machine that the tests run on."""

import keras
from overhead import machine


def test_memory_of_this_process():
    """Keras alone takes more than 50 MiB; the peak is no less than now."""
    peak, kind = machine.peak_memory()
    assert kind in ("resident", "device")
    if kind == "resident":
        assert peak >= machine.resident("VmRSS") > 50 * 2**20


def test_matrix_rate_is_positive():
    """Of small matrices, for the benchmark's own take a second."""
    assert machine.matrix_rate("float32", size=64, repeats=1) > 1e4


def test_machine_is_named():
    """Versions of the backend and of Keras, and the cores in use."""
    found = machine.machine()
    assert found["keras"] == keras.__version__
    assert keras.config.backend() in found
    assert 1 <= found["cores_used"] <= found["cores"]
    assert found["device"]
