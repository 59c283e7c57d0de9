"""Rows as examples: lazily, in one size, for one family."""

import numpy as np
import PIL.Image
import pytest
from reader_cases.case import (
    GREEN,
    RED,
    assert_color,
    load,
    of_frame,
    picture,
    tiny,
    write_jsonl,
)

import keras_byorn
from keras_byorn.data.prepared import PreparedExamples


def captions(folder, count=4):
    rows = []
    for n in range(count):
        picture(RED, (20 + n, 30)).save(folder / f"{n}.png")
        rows.append({"image": f"{n}.png", "caption": f"a red {n}"})
    return write_jsonl(folder, rows)


def test_images_are_read_when_they_are_asked_for(tmp_path):
    """COCO must not stand in memory; a changed file shows."""
    examples = load(captions(tmp_path), tiny())
    assert_color(examples[1]["images"], RED)
    picture(GREEN).save(tmp_path / "1.png")
    assert_color(examples[1]["images"], GREEN)
    assert_color(examples[0]["images"], RED)


def test_a_picture_of_several_captions_is_checked_once(tmp_path, monkeypatch):
    """Flickr8k has five captions of each; a broken one is bad five times."""
    picture().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    names = ["a.png", "b.png"] * 3
    rows = [{"image": n, "caption": "c"} for n in names]
    opened, really = [], PIL.Image.open

    def counted(file, **options):
        opened.append(file.name)
        return really(file, **options)

    monkeypatch.setattr(PIL.Image, "open", counted)
    with pytest.warns(UserWarning, match="Dropped 3 of 6"):
        examples = load(write_jsonl(tmp_path, rows), on_bad="drop")
    assert [row.example_id[-1] for row in examples.dropped] == ["1", "3", "5"]
    assert sum("a.png" in str(name) for name in opened) == 1


def test_examples_are_fit_for_the_model(tmp_path):
    """Read for a task, they are prepared for it without another word."""
    vlm = tiny()
    prepared = PreparedExamples(
        load(captions(tmp_path), vlm), vlm, 2, verbose=0
    )
    assert len(prepared.prompt_ids) == 4


def test_the_repr_names_the_file_and_the_fields(tmp_path):
    """What was taken for what can be read off a notebook."""
    path = captions(tmp_path)
    assert repr(load(path)) == (
        f"<Examples: 4 examples from {path}; image -> images, "
        "caption -> responses>"
    )


def test_limit_and_ids_follow_the_file(tmp_path):
    """Rows behind the limit are not looked at, however bad."""
    path = captions(tmp_path)
    (tmp_path / "3.png").unlink()
    assert load(path, limit=3).example_ids == [
        f"captions/{n}" for n in range(3)
    ]
    assert len(load(path, limit=3)) == 3
    with pytest.raises(ValueError, match="1 of 4 rows"):
        load(path, limit=9)


def test_what_is_too_long_is_dropped(tmp_path):
    """Else `PreparedExamples` refuses it, by the thousand."""
    picture().save(tmp_path / "a.png")
    texts = ["red", "blue " * 100, "six"]
    rows = [{"image": "a.png", "caption": text} for text in texts]
    path = write_jsonl(tmp_path, rows)
    with pytest.warns(UserWarning, match="1 × prompt and response must fit"):
        examples = load(path, tiny(), on_bad="drop")
    assert [example["responses"] for example in examples] == ["red", "six"]
    assert examples.dropped[0].place == f"line 2 of {path}"
    assert "sequence_length`, 32 tokens. Received" in examples.dropped[0].reason


def test_rows_of_text_alone(tmp_path):
    """Gemma 3 reads them, with a warning; PaliGemma does not."""
    rows = [
        {"question": "why?", "answer": "so"},
        {"image": "0.png", "question": "what?", "answer": "red"},
    ]
    captions(tmp_path)
    path = write_jsonl(tmp_path, rows, "mixed.jsonl")
    with pytest.warns(UserWarning, match="1 of 2 rows of .* have no image"):
        examples = load(path, tiny("Gemma 3"))
    assert examples[0]["images"] is None
    assert "<start_of_image>" not in examples[0]["prompts"]
    assert [image.shape for image in examples[1]["images"]] == [(16, 16, 3)]
    assert "<start_of_image>what?" in examples[1]["prompts"]
    with pytest.raises(ValueError, match="must have one image. Received: 0"):
        load(path, tiny())


def test_a_late_image_is_not_lost(tmp_path):
    """Hundreds of rows of text alone do not hide the images behind them."""
    captions(tmp_path)
    rows = [{"question": "why?", "answer": "so"}] * 120
    rows.append({"image": "0.png", "question": "what?", "answer": "red"})
    path = write_jsonl(tmp_path, rows, "late.jsonl")
    with pytest.warns(UserWarning, match="120 of 121 rows"):
        examples = load(path, tiny("Gemma 3"))
    assert len(examples[120]["images"]) == 1
    with pytest.raises(ValueError, match="`image_field`.*Received: photo"):
        load(path, tiny("Gemma 3"), image_field="photo")


def test_a_model_without_images_warns(tmp_path):
    """Its examples are the texts; that the images go is said."""
    path = captions(tmp_path)
    with pytest.warns(UserWarning, match="reads no images: the field 'image'"):
        examples = load(path, tiny("Gemma 3, text only"))
    assert examples[0]["images"] is None
    assert examples[0]["responses"] == "a red 0"


def test_a_converter_that_scales_nothing_gets_floats(tmp_path):
    """PaliGemma takes [-1, 1] unless its converter has a scale."""
    vlm = keras_byorn_task_without_scale()
    (example,) = load(captions(tmp_path, 1), vlm)
    assert example["images"].dtype == "float32"
    expected = np.array(RED) / 127.5 - 1
    np.testing.assert_allclose(example["images"][0, 0], expected, atol=1e-6)


def keras_byorn_task_without_scale():
    import keras_hub

    vlm = keras_hub.models.CausalLM.from_preset(keras_byorn.tiny_preset())
    vlm.preprocessor.image_converter.scale = None
    vlm.preprocessor.image_converter.offset = None
    return vlm


def test_dark_16_bit_images_warn():
    """Twelve bits in sixteen would be nearly black."""
    dark = np.full((2, 2), 4095, "uint16")
    with pytest.warns(UserWarning, match=r"pixel_range=\(0, 4095\)"):
        of_frame({"image": [dark], "caption": ["c"]})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pick": "last"}, "`pick` must be one of 'first', 'random', 'all'"),
        ({"on_bad": "skip"}, "`on_bad` must be one of 'raise', 'drop'"),
        ({"channels": "second"}, "`channels` must be one of"),
        ({"limit": 0}, "`limit` must be at least 1"),
        ({"formats": "PNG"}, "`formats` must be a sequence"),
        ({"formats": ["JPG"]}, r"raster formats.*\['JPG'\]"),
        ({"formats": ["eps"]}, r"raster formats.*\['EPS'\]"),
        ({"encoding": "utf-9"}, "`encoding` must be one.*'utf-9'"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    """Each by its name, with what it may be."""
    with pytest.raises(ValueError, match=message):
        load(captions(tmp_path), **options)


def test_unknown_options_are_refused(tmp_path):
    """A typing error must not pass for a default."""
    with pytest.raises(TypeError, match=r"pad, .*Received: \['padding'\]"):
        load(captions(tmp_path), padding=True)
