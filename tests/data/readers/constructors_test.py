"""Examples of a family are fit for it, whatever they are read from."""

import inspect

import pytest
from reader_cases.case import picture

import keras_byorn
from keras_byorn.data.readers.constructors import Constructors
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.presets import (
    load_tiny_preset,
    save_tiny_preset,
)

COLUMNS = (
    {"caption": ["red", "two"]},
    {
        "question": ["what is it", "is <image> it <eos>"],
        "answer": ["red", "two"],
    },
    {
        "messages": [
            [
                {"role": "user", "content": "what is it"},
                {"role": "assistant", "content": "red"},
            ]
        ]
        * 2
    },
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TINY)
def test_examples_fit_the_family(name, tmp_path):
    """Size of images, image tokens and texts pass all checks of `fit`."""
    vlm = load_tiny_preset(*save_tiny_preset(TINY[name], tmp_path))
    reads_images = VisionLanguageTask(vlm).num_images[1] > 0
    preprocessor = vlm.preprocessor
    for length in ("", "encoder_", "decoder_"):
        if hasattr(preprocessor, f"{length}sequence_length"):
            setattr(preprocessor, f"{length}sequence_length", 160)
    for texts in COLUMNS:
        if not reads_images and "question" in texts:
            texts = {**texts, "question": ["what is it"] * 2}
        images = [picture(size=(40, 20))] * 2
        examples = keras_byorn.Examples.from_dataframe(
            {"image": images, **texts}, vlm
        )
        prepared = keras_byorn.PreparedExamples(examples, vlm, 3, verbose=0)
        assert len(prepared.prompts) == 2
        assert [e["images"] is None for e in examples] == [not reads_images] * 2


def test_every_constructor_is_documented():
    """With arguments, errors and an example, and the options of all."""
    constructors = [name for name in vars(Constructors) if name[:5] == "from_"]
    assert len(constructors) == 6
    for name in constructors:
        constructor = getattr(keras_byorn.Examples, name)
        for part in ("Args:", "Returns:", "Raises:", "Example:", "options"):
            assert part in constructor.__doc__, name
        assert list(inspect.signature(constructor).parameters)[1] == "vlm"
