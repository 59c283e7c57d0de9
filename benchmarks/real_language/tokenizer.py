"""The tokenizer of SmolLM2, for KerasHub."""

import keras
import keras_hub
import tokenizers
from tokenizers import models, pre_tokenizers

END_TOKEN = "<|im_end|>"
PAD_TOKEN = "<|endoftext|>"


@keras.saving.register_keras_serializable(package="real_language")
class SmolLM2Tokenizer(keras_hub.tokenizers.BytePairTokenizer):
    """Splits text into byte pairs as SmolLM2 was trained with.

    KerasHub's `BytePairTokenizer` splits text in Python as Llama 3 does: up to
    three digits are one word, and a mark before a word is part of it. SmolLM2
    takes each digit by itself, and then splits as GPT-2 does. Ids and merges
    are the same, so that the wrong split gives ids that the model knows but
    never saw in a row. There is no start token.

    Args:
        vocabulary: dict from token to id, or `None` if a preset is loaded.
        merges: list of strings, pairs of tokens in their order.
        special_tokens: list of strings of the vocabulary that stand for
            themselves, `"<|im_end|>"` and `"<|endoftext|>"` among them.

    Call arguments:
        inputs: string, or a list of N strings.

    Returns:
        A list of ints, or N lists of them.

    Raises:
        ValueError: if a special token is missing; if the inputs are tensors,
            as in a `tf.data` pipeline, which KerasHub would split otherwise.

    Example:

    >>> tokenizer = SmolLM2Tokenizer(vocabulary, merges, special_tokens)
    >>> tokenizer("in 1984")  # "in", " ", "1", "9", "8", "4"

    Reference:
        - [SmolLM2: Ben Allal et al., 2025](https://arxiv.org/abs/2502.02737)
    """

    backbone_cls = keras_hub.models.LlamaBackbone

    def __init__(
        self, vocabulary=None, merges=None, special_tokens=(), **kwargs
    ):
        missing = {END_TOKEN, PAD_TOKEN} - set(special_tokens)
        if missing:
            raise ValueError(
                f"`special_tokens` must have {END_TOKEN!r}, which ends a text, "
                f"and {PAD_TOKEN!r}, which fills a row. "
                f"Received: special_tokens={list(special_tokens)}"
            )
        self.start_token = self.start_token_id = None
        self.end_token, self.pad_token = END_TOKEN, PAD_TOKEN
        self.end_token_id = self.pad_token_id = None
        self.splitter = None
        kwargs["unsplittable_tokens"] = list(special_tokens)
        super().__init__(vocabulary, merges, **kwargs)

    @property
    def special_tokens(self):
        return self.unsplittable_tokens

    @property
    def special_token_ids(self):
        return [self.token_to_id(token) for token in self.special_tokens]

    def set_vocabulary_and_merges(self, vocabulary, merges):
        super().set_vocabulary_and_merges(vocabulary, merges)
        if self.vocabulary is None:
            return
        self.end_token_id = self.token_to_id(self.end_token)
        self.pad_token_id = self.token_to_id(self.pad_token)
        pairs = [tuple(merge.split(" ")) for merge in self.merges]
        splitter = tokenizers.Tokenizer(
            models.BPE(vocab=dict(self.vocabulary), merges=pairs)
        )
        splitter.add_special_tokens(self.special_tokens)
        splitter.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self.splitter = splitter

    def tokenize(self, inputs):
        is_one = isinstance(inputs, str)
        texts = [inputs] if is_one else inputs
        if not isinstance(texts, (list, tuple)) or not all(
            isinstance(text, str) for text in texts
        ):
            raise ValueError(
                "`inputs` must be a string or a list of strings: in a "
                "`tf.data` pipeline KerasHub splits digits otherwise. "
                f"Tokenize before it. Received: {inputs!r}"
            )
        ids = [encoding.ids for encoding in self.splitter.encode_batch(texts)]
        return ids[0] if is_one else ids

    def get_config(self):
        config = super().get_config()
        config["special_tokens"] = config.pop("unsplittable_tokens")
        return config
