"""Vocabularies of tiny models: SentencePiece and byte-level BPE.

Training a SentencePiece model needs `sentencepiece`, of the extra `data`.
"""

import functools
import io
import string

COLOURS = "red green blue yellow purple white".split()
DIGITS = "one two three four five six seven eight nine".split()
OTHERS = "what colour is the left right digit describe image where".split()
WORDS = COLOURS + DIGITS + OTHERS
# Of `sentencepiece.SentencePieceTrainer`, for KerasHub's Gemma tokenizers.
OPTIONS = {
    "model_type": "unigram",
    "pad_id": 0,
    "eos_id": 1,
    "bos_id": 2,
    "unk_id": 3,
    "pad_piece": "<pad>",
    "eos_piece": "<eos>",
    "bos_piece": "<bos>",
    "unk_piece": "<unk>",
    "required_chars": string.ascii_lowercase,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "num_threads": 1,
    "minloglevel": 2,
}


def train_sentence_pieces(sentences, vocab_size, pieces=(), **options):
    """Trains a SentencePiece model that KerasHub's Gemma tokenizers take.

    Newlines are tokens, and text is neither normalized nor stripped, so that
    a response is read as it was written.

    Args:
        sentences: iterable of strings.
        vocab_size: int. Number of pieces.
        pieces: strings that must be in the vocabulary, such as those that a
            tokenizer takes for images.
        **options: further options of `sentencepiece.SentencePieceTrainer`, or
            others in place of `OPTIONS`.

    Returns:
        bytes. The serialized model, to pass as `proto`.

    Raises:
        ImportError: if `sentencepiece` is not installed.

    Example:

    >>> proto = train_sentence_pieces(["a red three", "a blue two"], 30)
    >>> tokenizer = keras_hub.models.PaliGemmaTokenizer(proto=proto)
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError(
            "Training a tokenizer needs `sentencepiece`. Install it with "
            "`pip install 'keras-byorn[data]'`, or pass a serialized "
            f"SentencePiece model instead. Received: {error}"
        ) from error
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=proto,
        vocab_size=vocab_size,
        user_defined_symbols=["\n", *pieces],
        **{**OPTIONS, **options},
    )
    return proto.getvalue()


@functools.cache
def sentence_pieces(pieces=(), **names):
    """Trains the SentencePiece model of the tiny models.

    It has a token for each of `WORDS`, and for each letter.

    Args:
        pieces: tuple of further strings of the vocabulary.
        **names: other names of special pieces, such as `eos_piece="</s>"`.

    Returns:
        bytes. The serialized model.
    """
    return train_sentence_pieces(
        [f"{a} {b}" for a in WORDS for b in WORDS]
        + [f"what {word} is\n" for word in WORDS],
        vocab_size=100,
        pieces=pieces,
        hard_vocab_limit=False,
        **names,
    )


def byte_pairs(*special):
    """Makes a byte-level BPE vocabulary of letters and `WORDS`.

    Args:
        *special: strings, the special tokens, in the order of their ids.

    Returns:
        A pair of a dict from token to id, and a list of merges.
    """
    letters = ["Ġ", "Ċ", *string.ascii_lowercase, *"?!.,<>|_/"]
    merges, pieces = [], []
    for word in WORDS:
        for left, right in zip(
            ["Ġ" + word[:i] for i in range(len(word))], word
        ):
            if (left, right) not in merges:
                merges.append((left, right))
                pieces.append(left + right)
    tokens = dict.fromkeys([*special, *letters, *pieces])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return vocabulary, [" ".join(pair) for pair in merges]
