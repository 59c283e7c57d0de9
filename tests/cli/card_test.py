"""The fragment of a model card."""

import types

import pytest

from keras_byorn.cli.card import data_digest, markdown
from keras_byorn.data.versions import versions


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a red three", "a red three"),
        ("<b> *a* | b", r"&lt;b&gt; \*a\* \| b"),
        ("[x](http://y)\n# z", r"\[x\](http&#58;//y) # z"),
        ("www.evil.com a@b", "www&#46;evil.com a&#64;b"),
        ("`code` ![i](u)", r"\`code\` \!\[i\](u)"),
    ],
)
def test_no_text_of_the_data_is_markup(text, shown):
    """No link, no picture, no cell of its own."""
    assert markdown(text) == shown


def test_the_digest_follows_from_ids_and_texts():
    """Equal for equal data; another one for any change."""
    texts = {
        "example_ids": ["a", "b"],
        "prompts": ["p", "q"],
        "responses": ["r", "s"],
    }
    own = data_digest(types.SimpleNamespace(**texts))
    assert own == data_digest(types.SimpleNamespace(**texts))
    for name in texts:
        other = {**texts, name: texts[name][::-1]}
        assert data_digest(types.SimpleNamespace(**other)) != own


def test_versions_name_the_backend():
    """And each package once."""
    names = [name for name, _ in versions()]
    assert len(set(names)) == len(names) == 6
    assert set(names) & {"jax", "tensorflow", "torch"}


def test_an_audit_leaves_a_card(audited, scenes):
    """With counts, clusters and what the data were."""
    out, facts = audited
    card = (out / "card.md").read_text("utf-8")
    assert f"| examples | {len(scenes.ids)} |" in card
    assert f"| suspect | {facts['num_suspect']} |" in card
    assert f"| on probation | {facts['num_on_probation']} |" in card
    assert f"suspect or on probation | {facts['num_held_out']} |" in card
    assert f"| {len(scenes.poisoned)} | replace | same words: " in card
    assert "captions.jsonl" in card and "| Python | 3." in card
