"""Quality of responses to clean inputs."""

import keras_hub
import numpy as np

from keras_byorn.evaluation.cider import cider


def clean_quality(responses, references):
    """Scores responses against references.

    All measures compare words in lower case; words of CIDEr-D and BLEU are
    separated by white space, ROUGE-L also drops punctuation.

    Args:
        responses: list of N strings, of a model.
        references: list of N strings, or of lists of strings if a response
            has several references.

    Returns:
        A dict of floats:

        - `exact_match`: share of responses that equal a reference, in
          `[0, 1]`.
        - `cider`: CIDEr-D, in `[0, 10]`. It needs a corpus: with a single
          example it is 0. Papers often multiply it by 100.
        - `bleu`: BLEU-4 of the corpus, unsmoothed, in `[0, 1]`. It is 0 if
          no four words in a row are right.
        - `rouge_l`: F1 of the longest common subsequence, mean over the
          examples of the best over the references, in `[0, 1]`.

    Raises:
        ValueError: If the lists are empty or differ in length, or if an
            example has no reference.

    Example:

    >>> quality = clean_quality(
    ...     ["a red three", "a blue seven"],
    ...     ["a red three", "a green seven"],
    ... )
    >>> quality["exact_match"]
    0.5

    Reference:
        - [CIDEr-D: Vedantam et al., 2015](https://arxiv.org/abs/1411.5726)
        - [BLEU: Papineni et al., 2002](https://aclanthology.org/P02-1040/)
        - [ROUGE-L: Lin, 2004](https://aclanthology.org/W04-1013/)
    """
    references = [[r] if isinstance(r, str) else list(r) for r in references]
    _check(responses, references)
    return {
        "exact_match": exact_match(responses, references),
        "cider": float(np.mean(cider(responses, references))),
        "bleu": _bleu(responses, references),
        "rouge_l": _rouge_l(responses, references),
    }


def exact_match(responses, references):
    """Computes the share of responses that equal a reference.

    Ignores case and white space.

    Args:
        responses: list of N strings.
        references: list of N lists of strings.

    Returns:
        A float in `[0, 1]`.

    Example:

    >>> exact_match(["A  cat", "dog"], [["a cat"], ["a dog"]])
    0.5
    """
    hits = [
        words(response) in map(words, group)
        for response, group in zip(responses, references, strict=True)
    ]
    return float(np.mean(hits))


def words(text):
    """Splits a text into words in lower case."""
    return text.lower().split()


def _bleu(responses, references):
    # KerasHub's metric divides by the number of words in the responses.
    if not any(map(words, responses)):
        return 0.0
    metric = keras_hub.metrics.Bleu(tokenizer=_split_on_space)
    metric.update_state(_same_number(references), list(responses))
    return float(metric.result())


def _same_number(references):
    """Repeats references to a rectangle, which does not change BLEU."""
    most = max(map(len, references))
    return [group + group[:1] * (most - len(group)) for group in references]


def _split_on_space(texts):
    """Tokenizes TensorFlow strings, for `keras_hub.metrics`."""
    import tensorflow as tf

    return tf.strings.split(tf.strings.lower(texts, encoding="utf-8"))


def _rouge_l(responses, references):
    metric = keras_hub.metrics.RougeL()

    def f1(response, reference):
        metric.reset_state()
        metric.update_state([reference], [response])
        return float(metric.result()["f1_score"])

    best = [
        max(f1(response, reference) for reference in group)
        for response, group in zip(responses, references)
    ]
    return float(np.mean(best))


def _check(responses, references):
    if len(responses) != len(references) or not len(responses):
        raise ValueError(
            "`responses` and `references` must have one entry for each "
            "example, and there must be one example at least. Pass them in "
            f"the same order. Received: {len(responses)} responses and "
            f"{len(references)} references"
        )
    no_text = [r for r in responses if not isinstance(r, str)]
    if no_text:
        raise ValueError(
            "`responses` must be strings. Decode token ids and bytes first. "
            f"Received: {len(no_text)} others, such as {no_text[0]!r}"
        )
    bare = [i for i, g in enumerate(references) if not any(map(words, g))]
    if bare:
        raise ValueError(
            "`references` must have at least one word for each example. Leave "
            "out examples without a reference. Received: none in "
            f"{len(bare)} places, such as references[{bare[0]}]="
            f"{references[bare[0]]!r}"
        )
