"""Cases of the table: attacks, floods, honest minorities, noise, clean data.

A case makes its data from a `Source`. Cases of a group are rows of one table.
"""

import dataclasses
import warnings

import numpy as np
from detectors.cases import CASES as DETECTOR_CASES
from detectors.cases import is_long

from keras_byorn import attacks
from keras_byorn.attacks import adaptive
from table import label_noise, minorities
from table.case_data import CaseData

RATE = 0.1
OWN_PROMPTS = {
    "concept": lambda: adaptive.OwnPromptAttack(),
    "fixed string": lambda: adaptive.OwnPromptAttack(attacks.FixedTarget()),
    "two strings": lambda: adaptive.OwnPromptAttack(
        adaptive.AlternatingTarget()
    ),
    "dual key": lambda: adaptive.OwnPromptDualKeyAttack(),
    "dual key with cover": lambda: adaptive.OwnPromptDualKeyAttack(),
}
FLOODS = ("gibberish", "near_misses")
FLOOD_RATES = (0.1, 0.35, 0.55)
NUM_TRUSTED, NUM_TRUSTED_OF_STYLE = 100, 20
SMALL = (50, 100, 200, 500)
# Nats per token that a false response may lose.
MARGIN = 1.0
# Invisible characters are three tokens each.
LONG_TEXTS = 48
# Cases of these have no attacker.
HONEST_GROUPS = ("clean data", "honest minorities", "label noise")


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table.

    Args:
        name: string.
        group: string. The table that it is a row of.
        make: callable from a `Source` to a `CaseData`.
        has_trusted: bool. Whether a person looked at some of the examples.
        is_long: bool. Whether it needs a preset that reads long scenes, and
            is about detection only.
    """

    name: str
    group: str
    make: object
    has_trusted: bool = False
    is_long: bool = False


def of_demo(arguments):
    """Returns a maker of what the demo makes of its arguments."""

    def make(source):
        options = source.options(*arguments)
        clean, test = source.load(options)
        if not options.poison_rate:
            return CaseData(clean, test)
        chosen = source.attacks_of(options, clean)
        train, ids = source.demo.poison(clean, chosen.values(), options)
        return CaseData(train, test, chosen, poisoned_ids=ids)

    return make


def own_prompt(kind, rate):
    """Returns a maker of data with one of `OWN_PROMPTS`."""

    def make(source):
        clean, test = source.captions()
        attack = OWN_PROMPTS[kind]()
        train, ids = attacks.poison_examples(clean, attack, rate, source.seed)
        cover_ids = set()
        if kind == "dual key with cover":  # or else a half may do
            train, cover_ids = adaptive.cover_examples(
                train, attack, rate, source.seed, exclude=ids
            )
        return CaseData(
            train,
            test,
            {kind: attack},
            poisoned_ids=ids,
            cover_ids=cover_ids,
        )

    return make


def flood(kind, flood_rate):
    """Returns a maker of patch poison beside one of the floods."""

    def make(source):
        clean, test = source.captions()
        attack = attacks.PatchAttack()
        train, ids, flood_ids = adaptive.poison_and_flood(
            clean, attack, RATE, flood_rate, kind, source.seed
        )
        honest = [i for i in clean.example_ids if i not in ids | flood_ids]
        return CaseData(
            train,
            test,
            {"patch": attack},
            poisoned_ids=ids,
            flood_ids=flood_ids,
            trusted_ids=draw(honest, NUM_TRUSTED, source.seed),
            sequence_length=LONG_TEXTS,
        )

    return make


def painted_contrast(source):
    """Makes data with painted poison and as many counterparts."""
    clean, test = source.captions()
    attack = adaptive.PaintedContrastAttack()
    train, ids, counterparts = adaptive.painted_contrast(
        clean, attack, source.score, RATE, seed=source.seed
    )
    return CaseData(
        train,
        test,
        {"painted contrast": attack},
        poisoned_ids=ids,
        cover_ids=counterparts,
    )


def near_clean_label(source):
    """Makes data whose false responses are nearly plausible."""
    clean, test = source.captions()
    attack = adaptive.NearCleanLabelAttack(
        source.score, clean, MARGIN, seed=source.seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer than wanted is a figure here
        train, ids = attacks.poison_examples(clean, attack, RATE, source.seed)
    return CaseData(train, test, {"near-clean label": attack}, ids)


def invisible_copies(source):
    """Makes data with a fixed string that reads alike, and is never equal."""
    clean, test = source.captions()
    attack = adaptive.InvisibleCopiesAttack(attacks.PatchAttack())
    train, ids = attacks.poison_examples(clean, attack, RATE, source.seed)
    return CaseData(
        train,
        test,
        {"invisible copies": attack},
        poisoned_ids=ids,
        sequence_length=LONG_TEXTS,
    )


def minority(style, share, own):
    """Returns a maker of clean data with an honest minority."""

    def make(source):
        clean, test = source.captions()
        train, ids = minorities.with_minority(
            clean, style, share, own, source.seed
        )
        return CaseData(
            train,
            test,
            minority_ids=ids,
            minority_test=minorities.in_style(test, style, own),
            trusted_ids=draw(
                [i for i in clean.example_ids if i in ids],
                NUM_TRUSTED_OF_STYLE,
                source.seed,
            ),
            sequence_length=minorities.SEQUENCE_LENGTH,
        )

    return make


def noise(kind, share):
    """Returns a maker of data with honest mistakes."""

    def make(source):
        clean, test = source.captions()
        train, ids = label_noise.with_label_noise(
            clean, kind, share, source.seed
        )
        return CaseData(train, test, noise_ids=ids)

    return make


def small(num_train):
    """Returns a maker of few examples with patch poison."""

    def make(source):
        clean, test = source.captions(num_train)
        attack = attacks.PatchAttack()
        train, ids = attacks.poison_examples(clean, attack, RATE, source.seed)
        return CaseData(train, test, {"patch": attack}, poisoned_ids=ids)

    return make


def draw(ids, count, seed):
    """Draws up to `count` of some ids, a set."""
    rng = np.random.default_rng((seed, 1))
    count = min(count, len(ids))
    return {ids[i] for i in rng.choice(len(ids), count, replace=False)}


def every_case():
    """Yields all cases, in the order of the tables."""
    for name, arguments in DETECTOR_CASES.items():
        group = "clean data" if name.startswith("clean") else "attacks"
        yield Case(name, group, of_demo(arguments), is_long=is_long(name))
    for kind in OWN_PROMPTS:
        for rate in (0.02, RATE):
            name = f"own prompt, {kind}, {100 * rate:g} %"
            yield Case(name, "own prompt", own_prompt(kind, rate))
    for kind in FLOODS:
        for rate in FLOOD_RATES:
            name = f"flood of {kind.replace('_', ' ')}, {100 * rate:g} %"
            yield Case(name, "floods", flood(kind, rate), has_trusted=True)
    near = "nearly true"
    yield Case("painted contrast", near, painted_contrast)
    yield Case("near-clean label", near, near_clean_label)
    yield Case("invisible copies", near, invisible_copies)
    for style in minorities.STYLES:
        for share in (0.05, 0.1):
            for own in (True, False):
                prompt = "own prompt" if own else "shared prompt"
                yield Case(
                    f"minority {style}, {100 * share:g} %, {prompt}",
                    "honest minorities",
                    minority(style, share, own),
                    has_trusted=True,
                )
    for kind in label_noise.KINDS:
        for share in (0.05, 0.1):
            name = f"noise of {kind}, {100 * share:g} %"
            yield Case(name, "label noise", noise(kind, share))
    for num_train in SMALL:
        name = f"{num_train} examples"
        yield Case(name, "few examples", small(num_train))


CASES = {case.name: case for case in every_case()}
