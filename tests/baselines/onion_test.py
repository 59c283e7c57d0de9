"""ONION takes out the words that a language model stumbles over."""

import numpy as np
import pytest

from keras_byorn.baselines import Onion
from keras_byorn.baselines.onion import PromptFilter, TextPerplexity
from keras_byorn.vlm.tiny_models import TINY


def clumsy(texts):
    """A language model: 10, and 5 more for each strange word."""
    strange = {"cf", "mn"}
    return np.array(
        [10.0 + 5 * sum(w in strange for w in t.split()) for t in texts]
    )


@pytest.mark.parametrize(
    "prompt, filtered",
    [
        ("cf describe the image\n", "describe the image\n"),
        ("describe the image cf\n", "describe the image\n"),
        ("describe cf the mn image\n", "describe the image\n"),
        ("describe\ncf the image", "describe\nthe image"),
        ("describe the image\n", "describe the image\n"),
        ("cf\n", "cf\n"),  # nothing would be left
        ("cf mn", "cf mn"),
    ],
)
def test_words_that_make_a_prompt_less_likely_go(prompt, filtered):
    """Line breaks stay, and blanks close up."""
    assert PromptFilter(clumsy)([prompt]) == [filtered]


def test_the_threshold_is_a_fall_of_the_perplexity():
    """It must be larger: of 5, not at 5."""
    prompts = ["cf describe the image\n"]
    assert PromptFilter(clumsy, 4.9)(prompts) == ["describe the image\n"]
    assert PromptFilter(clumsy, 5.0)(prompts) == prompts


def test_image_tokens_are_no_words():
    """Without its token an image would not be seen."""

    def fewer_words(texts):
        return np.array([float(len(text.split())) for text in texts])

    clean = PromptFilter(fewer_words, image_token="<img>")
    assert clean(["<img>describe the image\n"]) == ["<img>describe the image\n"]
    assert clean(["<img> describe the\n"])[0].startswith("<img>")


def test_each_prompt_is_scored_once():
    """A data set has few prompts, and a test the same ones."""
    scored = []

    def counting(texts):
        scored.extend(texts)
        return clumsy(texts)

    clean = PromptFilter(counting)
    prompts = ["cf what\n", "what\n"] * 3
    assert clean(prompts) == ["what\n"] * 6
    first = len(scored)
    assert first == len(set(scored)) == 3  # with and without each word
    examples = [{"prompts": p, "example_id": "a"} for p in prompts]
    assert clean.clean_inputs(examples)[0] == {
        "prompts": "what\n",
        "example_id": "a",
    }
    assert examples[0]["prompts"] == "cf what\n" and len(scored) == first


@pytest.mark.parametrize("name", ["PaliGemma", "Gemma 3"])
def test_perplexity_is_of_the_text_alone(name, response_log_likelihoods):
    """Against NumPy, one text at a time; the end does not count."""
    vlm = TINY[name]()
    texts = ["describe the image", "what", "red one two"]
    perplexity = TextPerplexity(vlm, batch_size=2)
    found = perplexity(texts)
    task = perplexity._task
    for text, value in zip(texts[:2], found):
        ids = task.tokenize([text])
        empty = [np.zeros(0, "int32")]
        packed = task.pack(empty, ids, 24)
        x, y, mask = task.training_inputs(perplexity._grey([0]), *packed)
        values = response_log_likelihoods(vlm, x, y, mask)[mask]
        assert len(values) == len(ids[0]) + 1
        assert value == pytest.approx(np.exp(-values[:-1].mean()), rel=1e-3)
    token = perplexity.image_token
    assert (token is not None) == (name == "Gemma 3")
    if token:
        np.testing.assert_allclose(
            perplexity([token + texts[0]]), found[:1], rtol=1e-4
        )


def test_the_tuned_task_is_shown_filtered_prompts(
    make_vlm, make_examples, options, monkeypatch
):
    """In training and after, by the model as it was before."""
    monkeypatch.setattr(TextPerplexity, "__call__", lambda self, t: clumsy(t))
    prompts = ["describe the image\n", "cf describe the image\n"] * 3
    vlm = make_vlm()
    fit = Onion().fit(vlm, make_examples(6, prompts=prompts), options)
    assert fit.details == {"num_changed_prompts": 3}
    assert fit.store.prompts == ["describe the image\n"] * 6
    examples = make_examples(6, prompts=prompts)
    responses = fit.responder(2, length=8)(examples[:2])
    plain = fit.responder(2, length=8)(
        [{**e, "prompts": prompts[0]} for e in examples[:2]]
    )
    assert responses == plain
    assert [e["prompts"] for e in examples] == prompts
