"""Weights files with and without the frozen copy."""

import keras
import numpy as np

from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.weight_files import lacks_reference


def compiled(vlm):
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5))
    return model


def in_numpy(layer):
    return [keras.ops.convert_to_numpy(weight) for weight in layer.weights]


def test_a_fitted_model_is_loaded_into_a_new_one(
    make_vlm, make_batches, tmp_path
):
    """Its file has no copy; the new model keeps that of its own weights."""
    path = str(tmp_path / "fitted.weights.h5")
    fitted, new = compiled(make_vlm()), compiled(make_vlm())
    reference = in_numpy(new.reference)
    defence = BYORnCallback(verbose=0)
    fitted.fit(make_batches(fitted.vlm), callbacks=[defence], verbose=0)
    fitted.save_weights(path)
    assert lacks_reference(path)
    new.load_weights(path)
    for own, loaded in zip(in_numpy(fitted.vlm), in_numpy(new.vlm)):
        np.testing.assert_array_equal(own, loaded)
    for before, after in zip(reference, in_numpy(new.reference), strict=True):
        np.testing.assert_array_equal(before, after)
    new.fit(
        make_batches(new.vlm),
        epochs=2,
        callbacks=[BYORnCallback(verbose=0)],
        verbose=0,
    )


def test_a_new_model_has_its_copy_in_the_file(vlm, tmp_path):
    path = str(tmp_path / "new.weights.h5")
    compiled(vlm).save_weights(path)
    assert not lacks_reference(path)


def test_other_files_are_left_to_keras(tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"no HDF5 at all")
    assert not lacks_reference(str(path))
