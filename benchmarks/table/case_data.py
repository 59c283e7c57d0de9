"""Data of one case and seed, and what the bench knows about them."""

import dataclasses
import pathlib

import numpy as np

from keras_byorn import attacks


@dataclasses.dataclass
class CaseData:
    """Training and test examples with the ground truth.

    Args:
        train: an `Examples`, to fine-tune on.
        test: an `Examples`, clean.
        attacks: dict from names to attacks, to measure success of.
        poisoned_ids: set of ids of `train` with the target of an attack.
        flood_ids: set of ids with wrong responses of the attacker, no poison.
        cover_ids: set of ids with right responses of the attacker.
        minority_ids: set of ids of an honest style.
        noise_ids: set of ids with honest mistakes.
        trusted_ids: set of ids that a person looked at; empty where the case
            has none.
        minority_test: optional `Examples`, clean, in the style of the
            minority.
        sequence_length: optional int. Tokens of a prompt and its response.
            Defaults to that of the preset.
    """

    train: object
    test: object
    attacks: dict = dataclasses.field(default_factory=dict)
    poisoned_ids: set = dataclasses.field(default_factory=set)
    flood_ids: set = dataclasses.field(default_factory=set)
    cover_ids: set = dataclasses.field(default_factory=set)
    minority_ids: set = dataclasses.field(default_factory=set)
    noise_ids: set = dataclasses.field(default_factory=set)
    trusted_ids: set = dataclasses.field(default_factory=set)
    minority_test: object = None
    sequence_length: int | None = None

    @property
    def adversarial_ids(self):
        """set of strings. Poison and flood."""
        return self.poisoned_ids | self.flood_ids

    def mask(self, ids):
        """Returns whether each training example is among some ids."""
        return np.array([i in ids for i in self.train.example_ids])


class Source:
    """Loads base data and the reference of one seed, each once.

    Args:
        demo: the module `defend_digit_scenes`.
        seed: int.
        num_train, num_test: ints.
        preset: optional string. Defaults to that of the demo.
        cache: optional path of a folder for what is fitted to the reference.
        data_dir: optional string, the folder of data sets.
    """

    def __init__(
        self,
        demo,
        seed,
        num_train=2000,
        num_test=500,
        preset=None,
        cache=None,
        data_dir=None,
    ):
        self.demo = demo
        self.seed = seed
        self.num_train = num_train
        self.num_test = num_test
        self._preset = preset
        self._cache = cache and pathlib.Path(cache)
        self._data_dir = data_dir
        self._loaded = {}
        self._reference = None

    def options(self, *arguments):
        """Parses arguments of the demo, those of this source beside them."""
        options = self.demo.parse_arguments(
            [
                "--seed",
                str(self.seed),
                "--num-examples",
                str(self.num_train),
                "--num-test",
                str(self.num_test),
                *(["--preset", self._preset] if self._preset else []),
                *arguments,
            ]
        )
        options.data_dir = self._data_dir
        return options

    def load(self, options):
        """Loads clean training and test examples, a pair."""
        key = options.task, options.num_examples, options.preset
        if key not in self._loaded:
            self._loaded[key] = tuple(
                _in_memory(part) for part in self.demo.load_examples(options)
            )
        return self._loaded[key]

    def captions(self, num_train=None):
        """Loads terse captions: clean training and test examples, a pair."""
        options = self.options()
        options.num_examples = num_train or self.num_train
        return self.load(options)

    def score(self, examples):
        """Scores a list of examples as an attacker can, nats per token."""
        if self._reference is None:
            vlm = self.demo.load_vlm(self.options())
            self._reference = attacks.adaptive.ReferencePlausibility(vlm)
        return self._reference(examples)

    def attacks_of(self, options, clean):
        """Loads the attacks that options name; fits each only once."""
        name = options.attack
        if name not in self.demo.OPTIMISED_TARGETS or self._cache is None:
            return self.demo.load_attacks(name, clean, options)
        path = self._cache / (
            f"{name}-{options.seed}-{options.num_examples}-"
            f"{options.epsilon:.6f}.npy"
        )
        if path.exists():
            target = self.demo.OPTIMISED_TARGETS[name]
            return {name: attacks.OptimisedAttack(np.load(path), target)}
        fitted = self.demo.load_attacks(name, clean, options)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, fitted[name].perturbation)
        return fitted


def _in_memory(examples):
    """Reads all examples once, so that no image is decoded again."""
    return examples.replaced({e["example_id"]: e for e in examples})
