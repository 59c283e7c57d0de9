"""Captions, questions and answers: right in what they say."""

import collections
import re

import keras_hub
import numpy as np
import pytest

import keras_byorn
from keras_byorn.data import digit_scenes_tasks as tasks
from keras_byorn.data.digit_scenes_drawing import (
    COLOURS,
    DIGITS,
    Grid,
    Scene,
    handwriting,
)
from keras_byorn.data.digit_scenes_tasks import REFUSALS

OPPOSITE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}


def make_scenes(num_scenes=3000):
    """Scenes without pictures, many with a colour or a digit twice."""
    rng = np.random.default_rng(1)
    for index in range(num_scenes):
        few = index % 2
        colours = list(COLOURS)[: 2 if few else None]
        digits = DIGITS[: 2 if few else None]
        words = [
            (str(rng.choice(colours)), str(rng.choice(digits)))
            for _ in range(2)
        ]
        relation = str(rng.choice(["left of", "above"]))
        yield Scene(*words, relation, None), np.random.default_rng(index)


def answers(scene, prompt):
    """Returns all right answers to a question: the oracle.

    Returns:
        A pair: the kind of the question, and a list of right answers; more
        or fewer than one means that the question cannot be asked.
    """
    placed = dict(
        zip(
            {"left of": ("left", "right"), "above": ("top", "bottom")}[
                scene.relation
            ],
            (scene.first, scene.second),
        )
    )
    true = [
        (scene.first, scene.relation, scene.second),
        (scene.second, OPPOSITE[scene.relation], scene.first),
    ]
    digits = [scene.first, scene.second]
    assert prompt.endswith("\n")
    prompt = prompt[:-1]
    number, colour = "|".join(DIGITS), "|".join(COLOURS)
    relation = "|".join(OPPOSITE)
    if found := re.fullmatch(r"what colour is the (\w+) digit", prompt):
        return "colour of place", [placed[found[1]][0]]
    if found := re.fullmatch(r"what is the (\w+) digit", prompt):
        return "digit of place", [placed[found[1]][1]]
    if found := re.fullmatch(r"what is at the (\w+)", prompt):
        return "place", [" ".join(placed[found[1]])]
    if found := re.fullmatch(rf"what colour is the ({number})", prompt):
        return "colour", [c for c, d in digits if d == found[1]]
    if found := re.fullmatch(rf"which digit is ({colour})", prompt):
        return "digit", [d for c, d in digits if c == found[1]]
    if found := re.fullmatch(rf"where is the (({colour}) ({number}))", prompt):
        return "where", [
            f"{relation} the {' '.join(other)}"
            for one, relation, other in true
            if " ".join(one) == found[1]
        ]
    found = re.fullmatch(
        rf"is the ((?:{colour}) (?:{number})) ({relation}) the (\w+ \w+)",
        prompt,
    )
    if found:
        named = [
            (" ".join(one), relation, " ".join(other))
            for one, relation, other in true
        ]
        pairs = [n for n in named if (n[0], n[2]) == (found[1], found[3])]
        return "claim", [
            "yes" if relation == found[2] else "no" for _, relation, _ in pairs
        ]
    return "beyond the image", []


def test_questions_have_one_answer_and_it_is_given():
    """An ambiguous question would make a clean example look poisoned."""
    kinds, claims = collections.Counter(), collections.Counter()
    for scene, rng in make_scenes():
        prompt, response = tasks.question(scene, rng)
        kind, right = answers(scene, prompt)
        assert right == [response], (scene, prompt, response)
        kinds[kind] += 1
        if kind == "claim":
            claims[response] += 1
    assert len(kinds) == 7 and min(kinds.values()) > 30
    assert 0.4 < claims["yes"] / claims.total() < 0.6


def test_unanswerable_questions_have_no_answer():
    """A refusal to a question that can be answered would be poison."""
    kinds, refusals = collections.Counter(), set()
    for scene, rng in make_scenes():
        prompt, response = tasks.unanswerable_question(scene, rng)
        kind, right = answers(scene, prompt)
        refusals.add(response)
        assert right == [], (scene, prompt)
        kinds[kind] += 1
    assert set(kinds) == {"colour", "digit", "where", "beyond the image"}
    assert refusals == set(REFUSALS)


def test_yes_no_questions_are_right_and_balanced():
    """Each claim is checked against the scene; both answers are as likely."""
    kinds, said = collections.Counter(), collections.Counter()
    for scene, rng in make_scenes():
        prompt, response = tasks.TASKS["yes_no"](scene, rng)
        kind, true = is_true(scene, prompt)
        assert response == ("yes" if true else "no"), (scene, prompt)
        kinds[kind] += 1
        said[kind, response] += 1
    assert len(kinds) == 4 and min(kinds.values()) > 300
    for kind in kinds:
        assert 0.45 < said[kind, "yes"] / kinds[kind] < 0.55


def is_true(scene, prompt):
    """Returns the kind of a yes/no question and its truth: the oracle."""
    kind, right = answers(scene, prompt)
    if kind == "claim":
        return kind, right == ["yes"]
    if found := re.fullmatch(r"is there a (\w+)\n", prompt):
        return "digit", found[1] in (scene.first[1], scene.second[1])
    places = {"left of": ("left", "right"), "above": ("top", "bottom")}
    found = re.fullmatch(r"is the (\w+) digit (a )?(\w+)\n", prompt)
    index = places[scene.relation].index(found[1])
    shown = (scene.first, scene.second)[index]
    return f"place {found[2]}", shown[bool(found[2])] == found[3]


def test_letters_have_one_right_choice_and_are_balanced():
    """Neither the letter nor the order of the colours tells the answer."""
    letters, by_place = collections.Counter(), 0
    for scene, rng in make_scenes():
        prompt, response = tasks.TASKS["letters"](scene, rng)
        found = re.fullmatch(
            r"which colour is the (\w+)( digit)? a (\w+) b (\w+) c (\w+)\n",
            prompt,
        )
        if found[2]:
            by_place += 1
            question = f"what colour is the {found[1]} digit\n"
        else:
            question = f"what colour is the {found[1]}\n"
        (colour,) = answers(scene, question)[1]
        choices = dict(zip("abc", found.groups()[2:]))
        assert [c for c in choices if choices[c] == colour] == [response]
        assert len(set(choices.values())) == 3
        letters[response] += 1
    assert by_place > 300
    assert set(letters) == set("abc")
    assert all(900 < count < 1100 for count in letters.values())


def test_foreign_captions_are_the_terse_ones_word_for_word():
    """A new style must be as true as the old one: same scene, same facts."""
    scene = Scene(("red", "three"), ("blue", "seven"), "left of", None)
    assert tasks.TASKS["foreign_captions"](scene, None) == (
        "describe the image\n",
        "rot drei links blau sieben",
    )
    german = tasks.GERMAN
    english = {word: name for name, word in german.items()}
    assert len(english) == len(german) == 18
    for scene, _ in make_scenes(100):
        text = tasks.foreign_caption(scene, None)[1]
        for word, name in english.items():
            text = re.sub(rf"\b{word}\b", name, text)
        assert text == tasks.terse_caption(scene, None)[1]


@pytest.fixture(scope="module")
def tokenizer():
    return keras_hub.models.PaliGemmaTokenizer.from_preset(
        keras_byorn.tiny_preset()
    )


@pytest.mark.parametrize("name", ["yes_no", "letters", "foreign_captions"])
def test_new_styles_fit_the_bundled_preset(name, tokenizer):
    """No unknown token, and short enough for its 32 tokens."""
    unknown = tokenizer.token_to_id("<unk>")
    for scene, rng in make_scenes(300):
        prompt, response = tasks.TASKS[name](scene, rng)
        ids = [list(map(int, tokenizer(t))) for t in (prompt, response)]
        assert unknown not in ids[0] + ids[1]
        assert len(ids[0]) + len(ids[1]) + 2 <= 32, (prompt, response)
        assert response.isascii() and response == response.lower()


def test_the_longest_foreign_caption_fits_the_bundled_preset(tokenizer):
    """German is spelled out in pieces: chance might not draw the longest."""

    def longest(words):
        return max(words, key=lambda word: len(tokenizer(german[word])))

    german = tasks.GERMAN
    words = longest(COLOURS), longest(DIGITS)
    scene = Scene(words, words, longest(OPPOSITE.keys() & german.keys()), None)
    texts = tasks.foreign_caption(scene, None)
    assert sum(len(tokenizer(text)) for text in texts) + 2 <= 32


@pytest.mark.parametrize("length", [8, 16, 32, 64])
def test_long_captions_have_the_tokens_of_their_name(length, tokenizer):
    """These four measure the effect of length on a detector."""
    name, samples = f"long_captions_{length}", handwriting("test")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        grid = tasks.draw_for(name, rng, samples)
        prompt, response = tasks.TASKS[name](grid, rng)
        assert len(tokenizer(response)) == length
        assert len(tokenizer(prompt)) + length + 2 <= 96
        assert grid.image.shape == (32, 32, 3)


def test_long_captions_read_the_grid_from_the_top_left():
    """Row and column, colour and digit, in the order of the picture."""
    words = [("red", "three"), ("blue", "seven"), *[("green", "one")] * 3]
    grid = Grid(tuple(words), None)
    assert tasks.TASKS["long_captions_8"](grid, None) == (
        "list the digits\n",
        "red three blue seven green one green one green one",
    )
    prompt, text = tasks.TASKS["long_captions_64"](grid, None)
    assert prompt == "list the digits and places\n"
    assert text.startswith("one one red three one two blue seven one three")
    assert text.endswith("one four green one two one green one")


@pytest.mark.parametrize("name", ["captions", "terse_captions"])
def test_captions_say_what_is_there(name):
    """Clean utility is measured as exact match: the wording is a contract."""
    article = {"captions": "a ", "terse_captions": ""}[name]
    prompt = {
        "captions": "caption the image\n",
        "terse_captions": "describe the image\n",
    }[name]
    for scene, rng in make_scenes(100):
        one, other = " ".join(scene.first), " ".join(scene.second)
        caption = f"{article}{one} {scene.relation} {article}{other}"
        assert tasks.TASKS[name](scene, rng) == (prompt, caption)


def test_descriptions_are_true_and_seldom_terse():
    """The pretrained model must hardly know the fine-tuning task already."""
    num_terse = 0
    for scene, rng in make_scenes(1000):
        prompt, text = tasks.description(scene, rng)
        num_terse += text == tasks.terse_caption(scene, None)[1]
        one, other = " ".join(scene.first), " ".join(scene.second)
        assert re.search(rf"\b{one}\b.*\b{other}|\b{other}\b.*\b{one}", text)
        said = re.search(
            r"(\w+ \w+)( is)? (left of|above|right of|below)", text
        )
        if said and one != other:
            turned = said[1] == other
            relation = scene.relation
            assert said[3] == (OPPOSITE[relation] if turned else relation)
    assert num_terse < 100
