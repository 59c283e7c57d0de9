"""Weights files of models with and without a copy of the pretrained weights."""

import h5py

# The name of the group that Keras makes for a `FrozenReference`.
REFERENCE = "frozen_reference"


def lacks_reference(path):
    """Returns whether a weights file has no frozen copy in it.

    The copy is released once the examples are scored, so that files of a
    model that was fitted have none.

    Args:
        path: string or path of a file that Keras wrote.

    Returns:
        bool. `False` for a file that is no HDF5 file.
    """
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        group = file.get(f"layers/{REFERENCE}")
        return group is None or not _has_weights(group)


def _has_weights(group):
    """bool. Whether there is a data set anywhere in a group."""
    found = group.visititems(
        lambda name, part: True if isinstance(part, h5py.Dataset) else None
    )
    return bool(found)
