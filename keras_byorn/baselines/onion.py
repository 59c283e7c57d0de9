"""ONION: words of a prompt that a language model stumbles over."""

import re

import numpy as np

from keras_byorn.baselines.defence import (
    Defence,
    DefendedFit,
    batches_for,
    train,
)
from keras_byorn.data.length_buckets import LengthBuckets
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.scoring_batches import ScoringBatches
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.task import VisionLanguageTask

WORD = re.compile(r"\S+")
LENGTH_MULTIPLE = 8  # few lengths, few programs


class Onion(Defence):
    """Takes words out of prompts that make them less likely.

    ONION removes a word if the perplexity of the text falls by more than
    `threshold` without it. The pretrained model itself is the language model,
    with a grey image where it must see one. Prompts are filtered in training
    and, by `DefendedFit.responder`, afterwards. It flags nothing: responses
    and images stay. Image tokens and line breaks stay as well, and a prompt
    that would lose all of its words.

    Costs, for each different prompt, a forward pass over text for each of its
    words and one more.

    Args:
        threshold: float. Least fall of the perplexity. Defaults to 0.0, that
            of the authors' code; the paper chooses it by clean examples.

    Example:

    >>> fit = Onion().fit(vlm, examples, options)
    >>> fit.details["num_changed_prompts"]
    200

    Reference:
        - [Qi et al., 2021](https://arxiv.org/abs/2011.10369)
    """

    def __init__(self, threshold=0.0):
        self.threshold = threshold

    def fit_prepared(self, vlm, prepared, options):
        model = BYORnModel(vlm)
        filter_ = PromptFilter(
            TextPerplexity(vlm, model.reference), self.threshold
        )
        examples = _with_prompts(prepared, filter_(prepared.prompts))
        cleaned = PreparedExamples(
            examples, vlm, prepared.batch_size, verbose=options.verbose
        )
        batches = batches_for(vlm, cleaned, options)
        history = train(model, batches, options)
        changed = [
            old != new for old, new in zip(prepared.prompts, cleaned.prompts)
        ]
        return DefendedFit(
            vlm=vlm,
            store=batches.store,
            examples=examples,
            history=history,
            details={"num_changed_prompts": sum(changed)},
            clean_inputs=filter_.clean_inputs,
        )


class PromptFilter:
    """Takes the words out of prompts that make them less likely.

    Args:
        perplexity: callable from a list of strings to a float array, such as a
            `TextPerplexity`.
        threshold: float. Least fall of the perplexity.
        image_token: optional string, which is never taken out. Defaults to the
            attribute of `perplexity`, if it has one.

    Call arguments:
        prompts: sequence of N strings.

    Returns:
        A list of N strings.

    Example:

    >>> PromptFilter(TextPerplexity(vlm))(["cf describe the image\\n"])
    ['describe the image\\n']
    """

    def __init__(self, perplexity, threshold=0.0, image_token=None):
        self._perplexity = perplexity
        self._threshold = threshold
        self._token = image_token or getattr(perplexity, "image_token", None)
        self._known = {}

    def __call__(self, prompts):
        new = [p for p in dict.fromkeys(prompts) if p not in self._known]
        self._known.update(self._filtered(new))
        return [self._known[prompt] for prompt in prompts]

    def clean_inputs(self, examples):
        """Filters the prompts of a list of examples."""
        prompts = self([example["prompts"] for example in examples])
        return [{**e, "prompts": p} for e, p in zip(examples, prompts)]

    def _filtered(self, prompts):
        words = {prompt: self._words(prompt) for prompt in prompts}
        shorter = {
            prompt: [_without(prompt, [word]) for word in spans]
            for prompt, spans in words.items()
        }
        texts = [t for p in prompts for t in (p, *shorter[p]) if t.strip()]
        if not texts:
            return {}
        texts = list(dict.fromkeys(texts))
        found = dict(zip(texts, self._perplexity(texts)))
        result = {}
        for prompt in prompts:
            removed = [
                word
                for word, text in zip(words[prompt], shorter[prompt])
                if text.strip()
                and found[prompt] - found[text] > self._threshold
            ]
            every = len(removed) == len(words[prompt])
            result[prompt] = prompt if every else _without(prompt, removed)
        return result

    def _words(self, prompt):
        """Lists the spans of the words, but for image tokens."""
        return [
            found.span()
            for found in WORD.finditer(prompt)
            if not (self._token and self._token in found.group())
        ]


class TextPerplexity:
    """Computes the perplexity of texts under a pretrained model.

    The text takes the place of the response, where the model reads from left
    to right, behind an empty prompt and, where the model must see an image, an
    even grey one. The end token does not count.

    Args:
        vlm: a KerasHub vision-language task.
        reference: optional `FrozenReference`. Defaults to the task, its
            adapters off.
        batch_size: int. Texts in a batch. Defaults to 64.

    Call arguments:
        texts: list of N strings, each with a token at least.

    Returns:
        float64 array, `(N,)`: the exponential of the mean negative
        log-likelihood of a token.

    Attributes:
        image_token: string or `None`. Is not scored.
    """

    def __init__(self, vlm, reference=None, batch_size=64):
        self._task = VisionLanguageTask(vlm)
        self._batch_size = batch_size
        self._reference = reference or FrozenReference(vlm, adapters_off=True)
        self.image_token = self._task.image_token

    def __call__(self, texts):
        task = self._task
        if self.image_token:
            texts = [text.replace(self.image_token, "") for text in texts]
        ids = task.tokenize(texts)
        nothing = [np.zeros(0, "int32")] * len(ids)
        longest = max(map(task.packed_length, nothing, ids))
        longest = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        packed = task.pack(nothing, ids, longest)
        buckets = LengthBuckets([longest - 1], [longest - 1])
        batches = ScoringBatches(
            task, self._grey, packed, buckets, self._batch_size
        )
        scores = self._reference.score(batches, verbose=0)
        counts = np.array([len(own) for own in ids])
        # The last token of a response is its end.
        order = np.cumsum(scores.response_mask, axis=-1)
        counted = scores.response_mask & (order <= counts[:, None])
        values = scores.log_likelihoods.astype("float64")
        means = np.where(counted, values, 0.0).sum(axis=-1) / counts
        return np.exp(-means)

    def _grey(self, rows):
        """Stacks grey images, as few as the task takes."""
        task = self._task
        fewest = task.num_images[0]
        if not fewest:
            return task.stack_images([None] * len(rows))
        size = task.preprocessor.image_converter.image_size
        grey = np.full((*size, 3), np.mean(task.pixel_range), "float32")
        return task.stack_images([[grey] * fewest] * len(rows))


def _with_prompts(prepared, prompts):
    """Returns the examples with other prompts."""
    replaced = {
        example_id: {**prepared.examples[index], "prompts": prompt}
        for index, (example_id, prompt) in enumerate(
            zip(prepared.example_ids, prompts)
        )
        if prompt != prepared.prompts[index]
    }
    return prepared.examples.replaced(replaced)


def _without(prompt, spans):
    """Takes words out of a prompt; line breaks stay, blanks close up."""
    if not spans:
        return prompt
    for start, end in reversed(spans):
        prompt = prompt[:start] + prompt[end:]
    prompt = re.sub(r"[^\S\n]+", " ", prompt)
    return re.sub(r" ?\n ?", "\n", prompt).strip(" ")
