"""Pixels keep the range and the dtype of their image."""

import numpy as np
import pytest
from attack_examples import make_example

from keras_byorn.attacks import PatchTrigger


def test_image_of_unclear_range_is_refused():
    """A patch of 255 on images in [0, 1] would be a silent nonsense."""
    image = np.full((32, 32, 3), 0.5, "float32")
    with pytest.raises(ValueError, match="Convert images in \\[0, 1\\]"):
        PatchTrigger()(make_example(image=image), None)
