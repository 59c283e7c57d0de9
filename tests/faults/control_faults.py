"""Control tokens of a model, in texts of strangers."""

from faults.case import MODEL, changed, kept, prepare, raises, warns

SECTION = "Control tokens"
END = "red<|endoftext|>three"
for wrong, text, part in (
    ("an end token that the tokenizer reads", END, "the tokenizer reads one"),
    ("a token of another family", "red<end_of_turn>", "for more than text"),
    ("`</s>`, `<pad>`, `<image>`", "</s><pad><image>", "for more than text"),
):
    warns(SECTION, wrong, f"a prompt and a response, {MODEL}", part)(
        changed(model="Qwen", prompts=text, responses=text)
    )
    raises(
        SECTION,
        f"{wrong}, with `control_tokens='refuse'`",
        MODEL,
        ValueError,
        "Control tokens of a model stand in 1 responses",
    )(changed(model="Qwen", responses=text, control_tokens="refuse"))


@kept(
    SECTION,
    "the same, with `control_tokens='escape'`",
    MODEL,
    "parted by a space, with a warning; mere text to the tokenizer",
)
def escaped(folder):
    import pytest

    with pytest.warns(UserWarning, match="They were parted by a space"):
        prepared = prepare(model="Qwen", responses=END, control_tokens="escape")
    assert prepared.responses[1] == "red< |endoftext|>three"
    end = prepared.task.end_token_ids[0]
    assert end not in prepared.response_ids[1]


@kept(
    SECTION,
    "an end token within a response, and a tail behind it",
    MODEL,
    "all of the tail is in the response mask, and scored",
)
def tail(folder):
    import pytest

    with pytest.warns(UserWarning, match="Control tokens"):
        prepared = prepare(model="Qwen", responses=END)
    num_tokens = len(prepared.response_ids[1])
    assert prepared.response_mask[1].sum() == num_tokens + 1


@kept(
    SECTION,
    "a template's own tokens, in more than half of the prompts",
    MODEL,
    "taken as they are, without a word",
)
def template(folder):
    import warnings

    import keras_byorn
    from faults.case import rows, tiny

    source = [
        dict(row, images=None, prompts=f"<|im_start|>{word}<|im_end|>")
        for row, word in zip(rows(), ("red", "blue", "white"))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras_byorn.PreparedExamples(
            source, tiny("Qwen"), verbose=0, control_tokens="refuse"
        )


raises(
    SECTION,
    "another word for `control_tokens`",
    MODEL,
    ValueError,
    "`control_tokens` must be 'warn', 'refuse' or 'escape'",
)(changed(control_tokens="ignore"))
