# ruff: noqa: E402
"""Compares scorers with what people say of captions and pictures.

    JUDGMENTS=benchmarks/real_pictures/human_judgments.py
    python $JUDGMENTS --preset PRESET --data FOLDER
    python $JUDGMENTS --preset PRESET --data FOLDER --sets crowd --images 200
    python $JUDGMENTS --table

The preset is one of `pretrain.py`, the folder Flickr8k's with
`judgments.tsv`: 5,822 pairs of a picture and a caption, perhaps of another
picture, that three experts judged from 1 to 4, and 47,830 of which a crowd
said yes or no. All are of the test part, which the captioner never saw. The
samples and passes of the experts' pairs take about eight minutes on one CPU
core, and the crowd's eight times as much, so that it can be a part of the
pictures.

Kendall's tau is that of the published figures: with the experts each rating is
a row, without the 158 pairs whose caption is of the picture itself; with the
crowd the share of yes. A caption fits if most judges say so: two experts of
three give 3 or 4, more than half of a crowd say yes. Figures are kept as they
come in `results/human_judgments.jsonl`; the tables are beside it.
"""

import argparse
import collections
import contextlib
import csv
import json
import os
import pathlib
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import keras
import numpy as np

import keras_byorn
from keras_byorn import evaluation
from keras_byorn.data.views import ShuffledImage
from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.detector import default_scorer
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    SelfAgreement,
    ViewConsistency,
    WorstSpan,
)
from real_pictures.agreement import agreement
from real_pictures.cells import captioner_name, load_vlm
from real_pictures.judgment_tables import render
from real_pictures.pictures import (
    PROMPT,
    fitting,
    normalized,
    read_pictures,
)

RESULTS = (
    pathlib.Path(__file__).resolve().parent / "results/human_judgments.jsonl"
)
KEY = ("backend", "captioner", "set", "scorer")
SETS = ("expert", "crowd")
REFERENCE_METRIC = "CIDEr-D with references"
LANGUAGE_ALONE = "MeanLogLikelihood() with another picture"
BATCH_SIZE = 128


def scorers_of(names):
    """Returns the scorers that each set of judgments is given, a list."""
    scorers = [
        MeanLogLikelihood(),
        Regret(),
        WorstSpan(4),
        WorstSpan(4, Regret()),
        PointwiseMutualInformation(),
        PointwiseMutualInformation(ShuffledImage()),
        ViewConsistency(),
        Duplication(),
        SelfAgreement(),
    ]
    known = {type(scorer).__name__ for scorer in scorers}
    if unknown := set(names or known) - known:
        raise ValueError(
            f"`--scorers` must be among {', '.join(sorted(known))}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    names = names or known
    return [s for s in scorers if type(s).__name__ in names]


def main(arguments=None):
    args = parse_arguments(arguments)
    if not args.table:
        vlm = load_vlm(args.preset)
        pictures = fitting(read_pictures(args.data, ["test"]), vlm)
        for kind in args.sets:
            pairs = read_pairs(args.data, kind, pictures, args.images)
            for line in measure(vlm, pairs, pictures, kind, args):
                keep(line, args.results)
    results = read_results(args.results)
    args.results.with_suffix(".md").write_text(render(results))


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--preset")
    add("--data")
    add("--sets", type=lambda text: text.split(","), default=list(SETS))
    add("--scorers", type=lambda text: text.split(","), help="by default all")
    add("--images", type=int, help="pictures of each set; by default all")
    add("--results", type=pathlib.Path, default=RESULTS)
    add("--table", action="store_true", help="only render the tables")
    args = parser.parse_args(arguments)
    if not args.table and not (args.preset and args.data):
        parser.error("--preset and --data are needed, but for --table")
    if unknown := set(args.sets) - set(SETS):
        parser.error(f"no such set: {', '.join(sorted(unknown))}")
    return args


Pair = collections.namedtuple("Pair", "image caption_id caption ratings fits")


def read_pairs(folder, kind, pictures, num_images=None):
    """Reads judged pairs of a picture and a caption.

    Args:
        folder: string or path. It holds `judgments.tsv`.
        kind: string, one of `SETS`.
        pictures: the `Pictures` that are judged. Pairs are left out whose
            picture or caption is not among them: it was too long.
        num_images: optional int. The most pictures, in their order.

    Returns:
        A list of `Pair`s.
    """
    texts = {}
    with (pathlib.Path(folder) / "captions.jsonl").open() as lines:
        for row in map(json.loads, lines):
            texts[f"{row['image']}#{row['n']}"] = normalized(row["caption"])
    known = {text for own in pictures.captions for text in own}
    names = set(pictures.names[:num_images])
    pairs = []
    with (pathlib.Path(folder) / "judgments.tsv").open() as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            caption = texts[row["caption_id"]]
            if row["kind"] != kind or row["image"] not in names:
                continue
            own = row["caption_id"].startswith(row["image"])
            if caption not in known or (own and kind == "expert"):
                continue
            ratings = ratings_of(row)
            pairs.append(
                Pair(
                    row["image"],
                    row["caption_id"],
                    caption,
                    ratings,
                    fits(ratings),
                )
            )
    return pairs


def ratings_of(row):
    """Returns what judges say of a pair, a tuple of floats.

    Args:
        row: dict from a column of `judgments.tsv` to its text. Of experts
            `a`, `b` and `c` are their ratings, of a crowd `a` is the share of
            yes.
    """
    if row["kind"] == "expert":
        return tuple(float(row[name]) for name in "abc")
    return (float(row["a"]),)


def fits(ratings):
    """Returns whether most judges find that a caption fits.

    Args:
        ratings: tuple of floats, see `ratings_of`.
    """
    if len(ratings) == 1:
        return ratings[0] > 0.5
    return sum(rating >= 3 for rating in ratings) > len(ratings) / 2


def measure(vlm, pairs, pictures, kind, args):
    """Scores pairs by each scorer, and compares with the judgments.

    Args:
        vlm: the captioner.
        pairs: list of `Pair`s.
        pictures: `Pictures`.
        kind: string, the name of the set.
        args: namespace with `preset` and `scorers`.

    Yields:
        A dict for each scorer, see `agreement`.
    """
    place = {
        "backend": keras.config.backend(),
        "captioner": captioner_name(args.preset),
        "set": kind,
    }
    images = [pair.image for pair in pairs]
    ratings = np.array([pair.ratings for pair in pairs])
    fit = np.array([pair.fits for pair in pairs])
    for name, scores in scored(vlm, pairs, pictures, args.scorers):
        yield {
            **place,
            "scorer": name,
            "pairs": len(pairs),
            "images": len(set(images)),
            "num_fitting": int(fit.sum()),
            **agreement(scores, ratings, fit, images),
        }


def scored(vlm, pairs, pictures, names=None):
    """Yields names of scorers, and their scores of pairs, float `(N,)`."""
    yield REFERENCE_METRIC, cider_of(pairs, pictures)
    detector = keras_byorn.Detector(
        scorer=Ensemble(scorers_of(names)),
        decision=keras_byorn.FlagFraction(0.0),
        verbose=0,
    )
    examples = examples_of(pairs, pictures)
    with contextlib.redirect_stdout(sys.stderr):
        found = keras_byorn.detect(examples, vlm, detector, BATCH_SIZE)
    yield from found.scores.items()
    likelihood, gain = (
        found.scores.get(repr(scorer))
        for scorer in (
            MeanLogLikelihood(),
            PointwiseMutualInformation(ShuffledImage()),
        )
    )
    if likelihood is not None and gain is not None:
        yield LANGUAGE_ALONE, likelihood - gain
    texts = found.prompts, found.responses, found.example_ids
    scores = DatasetScores(found.token_scores, *texts)
    scorer = default_scorer().fit(scores)
    yield f"{scorer!r}, the default", scorer.score(scores)


def examples_of(pairs, pictures):
    """Returns an `Examples` of pairs of a picture and a caption."""
    images = dict(zip(pictures.names, pictures.images))
    return keras_byorn.Examples(
        [
            {
                "example_id": f"{pair.image}|{pair.caption_id}",
                "images": images[pair.image],
                "prompts": PROMPT,
                "responses": pair.caption,
            }
            for pair in pairs
        ]
    )


def cider_of(pairs, pictures):
    """Returns CIDEr-D of each caption with those of the picture, `(N,)`.

    Shows that pairs and judgments are read as the published figures have
    them. A caption is no reference of its own.
    """
    captions = dict(zip(pictures.names, pictures.captions))
    references = [
        [text for text in captions[pair.image] if text != pair.caption]
        for pair in pairs
    ]
    return evaluation.cider([pair.caption for pair in pairs], references)


def keep(line, path):
    """Appends one result, and prints it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def read_results(path):
    """Reads the kept results, a list of dicts; of equal ones the last."""
    if not path.exists():
        return []
    results = map(json.loads, path.read_text().splitlines())
    return list({tuple(r[n] for n in KEY): r for r in results}.values())


if __name__ == "__main__":
    main()
