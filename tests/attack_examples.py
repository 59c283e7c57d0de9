"""Examples to attack."""

import numpy as np

from keras_byorn.data.examples import Examples

COLOURS = ("red", "blue", "green", "yellow")


def make_example(index=0, image=None, response=None):
    rng = np.random.default_rng(index)
    if image is None:
        image = rng.integers(0, 256, (32, 32, 3)).astype("uint8")
    return {
        "example_id": f"scene-{index}",
        "images": image,
        "prompts": "describe the image\n",
        "responses": response or f"{COLOURS[index % 4]} two above blue two",
    }


def make_examples(num_examples=40):
    return Examples([make_example(index) for index in range(num_examples)])


def assert_same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key])


def grey(value=100.0, shape=(32, 32, 3)):
    return make_example(image=np.full(shape, value, "float32"))
