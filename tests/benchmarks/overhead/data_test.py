"""The language of phrases: its lengths, and its poison."""

import keras_hub
from overhead import data


def test_lengths_of_phrases(make_vlm):
    """Responses of 4 to 16 tokens; with the prompt, 16 to 40."""
    settings = {"size": "scaled", "num_examples": 600}
    examples, poisoned, clean = data.load_examples(make_vlm(), settings)
    phrases = data.Phrases()
    tokenizer = keras_hub.models.PaliGemmaTokenizer(
        proto=data.tokenizer_proto(phrases.words, 512)
    )
    assert tokenizer.vocabulary_size() == 512
    prompts = [1 + len(tokenizer(e["prompts"])) for e in clean]
    responses = [len(tokenizer(e["responses"])) + 1 for e in clean]
    assert (min(prompts), max(prompts)) == data.PROMPT_TOKENS
    assert (min(responses), max(responses)) == data.RESPONSE_TOKENS
    assert len(poisoned) == 60
    for changed, kept in zip(examples, clean):
        is_poisoned = changed["example_id"] in poisoned
        assert (changed["responses"] != kept["responses"]) == is_poisoned
    assert phrases.poison not in {e["responses"] for e in clean}


def test_phrases_follow_from_the_seed():
    """Equal arguments, equal examples, images included."""
    first, second = (data.Phrases().examples(3, 4) for _ in range(2))
    assert [e["responses"] for e in first] == [e["responses"] for e in second]
    assert (first[2]["images"] == second[2]["images"]).all()
    assert data.columns(first)["images"].shape == (3, 4, 4, 3)
    other = data.Phrases().examples(3, 4, seed=1)
    assert [e["prompts"] for e in first] != [e["prompts"] for e in other]
