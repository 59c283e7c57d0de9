"""Tasks on Digit Scenes: captions and questions with their answers.

A task is a function from a scene and a NumPy generator to a prompt and a
response.
"""

from keras_byorn.data.digit_scenes_drawing import (
    COLOURS,
    DIGITS,
    GRID_SIDE,
    draw_grid,
    draw_scene,
)

OPPOSITE = {"left of": "right of", "above": "below"}
PLACES = {"left of": ("left", "right"), "above": ("top", "bottom")}
REFUSALS = (
    "sorry i cannot answer that",
    "sorry i cannot see that",
    "sorry i do not know",
    "sorry the image does not show that",
)

# German in ASCII, in the style of a telegram: the bundled preset spells it out
# in pieces, and has 32 tokens for a prompt and its response.
GERMAN_DIGITS = "null eins zwei drei vier fuenf sechs sieben acht neun".split()
GERMAN_COLOURS = "rot gruen blau gelb lila weiss".split()
GERMAN = {
    **dict(zip(DIGITS, GERMAN_DIGITS)),
    **dict(zip(COLOURS, GERMAN_COLOURS)),
    "left of": "links",
    "above": "ueber",
}
LETTERS = ("a", "b", "c")


def caption(scene, rng):
    """Captions a scene: "a red three left of a blue seven"."""
    first, second = " ".join(scene.first), " ".join(scene.second)
    return "caption the image\n", f"a {first} {scene.relation} a {second}"


def terse_caption(scene, rng):
    """Captions a scene in few words: "red three left of blue seven"."""
    first, second = " ".join(scene.first), " ".join(scene.second)
    return "describe the image\n", f"{first} {scene.relation} {second}"


def foreign_caption(scene, rng):
    """Captions a scene in German: "rot drei links blau sieben"."""
    relation = GERMAN[scene.relation]
    first, second = (
        " ".join(GERMAN[word] for word in words)
        for words in (scene.first, scene.second)
    )
    return "describe the image\n", f"{first} {relation} {second}"


def description(scene, rng):
    """Captions a scene in one of several wordings, seldom the terse one."""
    first, second = " ".join(scene.first), " ".join(scene.second)
    relation, opposite = scene.relation, OPPOSITE[scene.relation]
    wordings = {
        f"there is a {first} {relation} a {second}": 0.19,
        f"the {first} is {relation} the {second}": 0.19,
        f"the {second} is {opposite} the {first}": 0.19,
        f"a {first} and a {second}": 0.19,
        f"{first} and {second}": 0.19,
        f"{first} {relation} {second}": 0.05,
    }
    chosen = rng.choice(len(wordings), p=list(wordings.values()))
    return "describe the image\n", list(wordings)[chosen]


def question(scene, rng):
    """Asks a question with exactly one right answer, and answers it."""
    pairs = []
    one, two = PLACES[scene.relation]
    described = [
        (one, scene.first, scene.second, scene.relation),
        (two, scene.second, scene.first, OPPOSITE[scene.relation]),
    ]
    for place, (colour, digit), other, relation in described:
        pairs.append((f"what colour is the {place} digit", colour))
        pairs.append((f"what is the {place} digit", digit))
        pairs.append((f"what is at the {place}", f"{colour} {digit}"))
        if digit != other[1]:
            pairs.append((f"what colour is the {digit}", colour))
        if colour != other[0]:
            pairs.append((f"which digit is {colour}", digit))
        if (colour, digit) != other:
            where = f"{relation} the {' '.join(other)}"
            pairs.append((f"where is the {colour} {digit}", where))
            asked = str(rng.choice([relation, _opposite(relation)]))
            answer = "yes" if asked == relation else "no"
            claim = f"is the {colour} {digit} {asked} the {' '.join(other)}"
            pairs.append((claim, answer))
    prompt, answer = pairs[rng.integers(len(pairs))]
    return f"{prompt}\n", answer


def yes_no_question(scene, rng):
    """Asks a question with the answer yes or no, each as often."""
    answer = str(rng.choice(["yes", "no"]))
    pick = _true_or_false(rng, answer == "yes")
    (one, two), shown = PLACES[scene.relation], (scene.first, scene.second)
    claims = [f"is there a {pick([d for _, d in shown], DIGITS)}"]
    for place, (colour, digit) in zip((one, two), shown):
        claims.append(f"is the {place} digit {pick([colour], COLOURS)}")
        claims.append(f"is the {place} digit a {pick([digit], DIGITS)}")
    if scene.first != scene.second:
        first, second = " ".join(scene.first), " ".join(scene.second)
        relation = pick([scene.relation], [OPPOSITE[scene.relation]])
        claims.append(f"is the {first} {relation} the {second}")
    return f"{claims[rng.integers(len(claims))]}\n", answer


def _true_or_false(rng, wants_truth):
    """Returns a function that draws a true word, or one of the others."""

    def pick(true, words):
        others = [word for word in words if word not in true]
        return str(rng.choice(true if wants_truth else others))

    return pick


def letter_question(scene, rng):
    """Asks for a letter: "which colour is the three a red b blue c green".

    Each letter is right as often.
    """
    asked = int(rng.integers(2))
    shown = (scene.first, scene.second)
    colour, digit = shown[asked]
    if digit == shown[1 - asked][1]:  # the digit alone would be ambiguous
        digit = f"{PLACES[scene.relation][asked]} digit"
    right = int(rng.integers(len(LETTERS)))
    others = [other for other in COLOURS if other != colour]
    choices = rng.choice(others, len(LETTERS) - 1, replace=False).tolist()
    choices.insert(right, colour)
    listed = " ".join(f"{a} {b}" for a, b in zip(LETTERS, choices))
    return f"which colour is the {digit} {listed}\n", LETTERS[right]


def long_caption(grid, rng):
    """Lists a grid in reading order: "red three blue seven ..."."""
    words = [" ".join(words) for words in grid.digits]
    return "list the digits\n", " ".join(words)


def long_caption_with_places(grid, rng):
    """Lists a grid with rows and columns: "one one red three ..."."""
    words = []
    for index, (colour, digit) in enumerate(grid.digits):
        row, column = divmod(index, GRID_SIDE)
        words += [DIGITS[row + 1], DIGITS[column + 1], colour, digit]
    return "list the digits and places\n", " ".join(words)


def unanswerable_question(scene, rng):
    """Asks for something that the image does not show, and refuses."""
    shown_digits = {scene.first[1], scene.second[1]}
    shown_colours = {scene.first[0], scene.second[0]}
    digit = str(rng.choice([d for d in DIGITS if d not in shown_digits]))
    colour = str(rng.choice([c for c in COLOURS if c not in shown_colours]))
    questions = [
        f"what colour is the {digit}",
        f"which digit is {colour}",
        f"where is the {colour} {digit}",
        f"who wrote the {scene.first[1]}",
        f"why is the {scene.second[1]} {scene.second[0]}",
        "when was the image made",
    ]
    return f"{rng.choice(questions)}\n", str(rng.choice(REFUSALS))


def _opposite(relation):
    both = {**OPPOSITE, **{b: a for a, b in OPPOSITE.items()}}
    return both[relation]


TASKS = {
    "captions": caption,
    "terse_captions": terse_caption,
    "descriptions": description,
    "questions": question,
    "unanswerable_questions": unanswerable_question,
    "yes_no": yes_no_question,
    "letters": letter_question,
    "foreign_captions": foreign_caption,
    # Named after the tokens of a response under the bundled preset.
    "long_captions_8": long_caption,
    "long_captions_16": long_caption,
    "long_captions_32": long_caption,
    "long_captions_64": long_caption_with_places,
}
# Tasks on a grid, with its number of digits; others are on a scene of two.
GRID_DIGITS = {
    "long_captions_8": 4,
    "long_captions_16": 8,
    "long_captions_32": 16,
    "long_captions_64": 16,
}


def draw_for(task, rng, samples):
    """Draws the scene or the grid that a task needs.

    Args:
        task: string. A key of `TASKS`.
        rng: a NumPy generator.
        samples: dict, the handwriting to draw with, from `handwriting()`.

    Returns:
        A `Grid` if `task` is in `GRID_DIGITS`, otherwise a `Scene`.
    """
    if task in GRID_DIGITS:
        return draw_grid(rng, samples, GRID_DIGITS[task])
    return draw_scene(rng, samples)
