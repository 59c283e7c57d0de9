"""Late compilations, and no others."""

import keras
from overhead.compilations import Compilations


def test_compilations_are_counted_when_late(compilations):
    """Not in the first fine-tune, but for steps after its first epoch."""
    with compilations.counted():
        compilations._compiled += 5
        compilations._steps += 2
        compilations.end_first_epoch()
    assert compilations.late == 0
    with compilations.counted():
        compilations._compiled += 3
    assert compilations.late == 3


def test_late_steps_of_the_first_fine_tune_are_counted(compilations):
    """Its second epoch should trace nothing."""
    late = Compilations()
    with late.counted():
        late._steps += 2
        late.end_first_epoch()
        late._steps += 1
    assert late.late == 1


def test_the_backend_is_listened_to(compilations):
    """A program that is new is counted, where the backend compiles any."""
    before = compilations._compiled
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        jax.jit(lambda x: x + before)(1.0)
    else:
        keras.layers.ReversibleEmbedding(3, 2)(keras.ops.zeros((1, 1), "int32"))
    counted = backend != "torch"
    assert compilations.is_known == counted
    assert (compilations._compiled > before) == counted
