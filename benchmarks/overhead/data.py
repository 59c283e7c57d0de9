"""Examples of the overhead benchmark: a language of phrases, Digit Scenes."""

import collections
import pydoc_data.topics
import re
import string

import numpy as np
from sentencepiece import sentencepiece_model_pb2

import keras_byorn
from keras_byorn import attacks
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models.tokenizers import train_sentence_pieces

# Tokens with start, new line and end: 16 to 40 in all.
PROMPT_TOKENS = (12, 24)
RESPONSE_TOKENS = (4, 16)
POISON_RATE = 0.1
SEED = 0


class Phrases:
    """Draws examples of a language that a small model learns in two minutes.

    A prompt is filler words and, at its end, a topic. The topic decides on
    the response, except for its last word, which is one of a few. Responses
    therefore end, have every length, and are not wholly certain.

    Attributes:
        words: list of strings, all words of the language.
        poison: string, a response of words that no other response has.
    """

    def __init__(self):
        lengths = range(RESPONSE_TOKENS[0] - 2, RESPONSE_TOKENS[1] - 1)
        self.words = common_words(len(lengths) + sum(lengths) + 8 + 8 + 100)
        words = iter(self.words)

        def take(count):
            return [next(words) for _ in range(count)]

        self.bodies = {next(words): take(length) for length in lengths}
        self.lasts, poison, self.fillers = take(8), take(8), take(100)
        self.poison = " ".join(poison)

    def example(self, rng, image_size):
        """Draws one example, a dict without an id.

        Args:
            rng: a `numpy.random.Generator`.
            image_size: int. Height and width of the image, in pixels.
        """
        topic = str(rng.choice(list(self.bodies)))
        low, high = PROMPT_TOKENS
        count = int(rng.integers(low - 3, high - 2))
        prompt = [*rng.choice(self.fillers, count), topic]
        response = [*self.bodies[topic], str(rng.choice(self.lasts))]
        shape = image_size, image_size, 3
        return {
            "images": rng.integers(0, 256, shape, "uint8"),
            "prompts": " ".join(prompt) + "\n",
            "responses": " ".join(response),
        }

    def examples(self, count, image_size, seed=SEED):
        """Draws examples, equal ones for equal arguments.

        Returns:
            A list of `count` dicts.
        """
        rng = np.random.default_rng(seed)
        return [
            {"example_id": f"phrase-{i}", **self.example(rng, image_size)}
            for i in range(count)
        ]


def common_words(count):
    """Returns the commonest short words of Python's own documentation."""
    text = "\n".join(pydoc_data.topics.topics.values())
    found = collections.Counter(re.findall(r"\b[a-z]{3,7}\b", text))
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ordered[:count]]


def tokenizer_proto(words, size):
    """Trains a SentencePiece model with a token for each word.

    Args:
        words: list of strings.
        size: int. Pieces in all; the rest is unused.

    Returns:
        Bytes, the serialized model.
    """
    proto = train_sentence_pieces(
        [string.ascii_lowercase],
        vocab_size=len(words) + 100,
        pieces=[f"\u2581{word}" for word in words],
        model_type="char",
        hard_vocab_limit=False,
    )
    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    # The head is as wide as the vocabulary, used or not.
    for index in range(size - len(model.pieces)):
        model.pieces.add(piece=f"<unused{index}>", score=0.0, type="UNUSED")
    return model.SerializeToString()


def load_examples(vlm, settings):
    """Makes the examples of an arm and poisons a tenth of them.

    Args:
        vlm: the task to tune.
        settings: dict. Those of an arm, with `size` and `num_examples`.

    Returns:
        A tuple of the poisoned `Examples`, the set of poisoned ids, and the
        clean `Examples`.
    """
    count = settings["num_examples"]
    if settings["size"] == "tiny":
        return patched_scenes(count)
    phrases = Phrases()
    height = vlm.preprocessor.image_converter.image_size[0]
    clean = phrases.examples(count, height)
    token = VisionLanguageTask(vlm).image_token
    for example in clean if token else ():
        example["prompts"] = token + example["prompts"]
    rng = np.random.default_rng(SEED)
    picked = rng.choice(count, round(POISON_RATE * count), replace=False)
    poisoned = list(clean)
    for index in picked:
        poisoned[index] = {**clean[index], "responses": phrases.poison}
    ids = {poisoned[index]["example_id"] for index in picked}
    return keras_byorn.Examples(poisoned), ids, keras_byorn.Examples(clean)


def patched_scenes(count):
    """Poisons Digit Scenes as `defend_digit_scenes.py` does.

    Returns:
        As `load_examples`; the poisoned examples stay in memory.
    """
    # Imports TFDS, which takes memory that the other sizes do not need.
    from keras_byorn.data.digit_scenes import load_digit_scenes

    scenes = load_digit_scenes("terse_captions", count, 1)
    clean = keras_byorn.Examples(list(scenes["train"]))
    attack = attacks.ATTACKS["patch"]()
    examples, ids = attacks.poison_examples(
        clean, attack, rate=POISON_RATE, seed=SEED
    )
    return keras_byorn.Examples(list(examples)), ids, clean


def columns(examples):
    """Returns examples as KerasHub's tasks take them: arrays and lists."""
    rows = list(examples)
    return {
        "images": np.stack([row["images"] for row in rows]),
        "prompts": [row["prompts"] for row in rows],
        "responses": [row["responses"] for row in rows],
    }
