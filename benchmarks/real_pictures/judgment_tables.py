"""Tables of the agreement with people, beside published figures."""

from real_pictures.tables import unique

# Hessel et al., 2021, tables 1 and 2: tau-c with the experts and tau-b with
# the crowd, times 100. CLIPScore is of CLIP ViT-B/32, some 150 million
# parameters and 400 million pictures; the others compare with references.
PUBLISHED = {
    "BLEU-4": (30.8, 16.9),
    "ROUGE-L": (32.3, 19.9),
    "METEOR": (41.8, 22.2),
    "CIDEr": (43.9, 24.6),
    "SPICE": (44.9, 24.4),
    "CLIPScore": (51.2, 34.4),
    "RefCLIPScore": (53.0, 36.4),
}
JUDGES = {
    "expert": "three experts, 1 to 4",
    "crowd": "a crowd, yes or no",
}
FIGURES = {"tau-c": "tau_c", "tau-b": "tau_b", "AUROC": "auroc"}


def render(results):
    """Renders all results, and the published ones.

    Args:
        results: list of dicts, see `human_judgments.py`.

    Returns:
        A string.
    """
    parts = [
        "# Do the scores agree with people?",
        "Made by `python benchmarks/real_pictures/human_judgments.py`. "
        "Kendall's tau with the judgments, and the chance (AUROC) that a "
        "caption that fits its picture scores higher than one that does not; "
        "in brackets the 95 % interval of a bootstrap of pictures. "
        "`Duplication` looks at the texts alone, of which the judged pairs "
        "repeat each caption with many pictures; the likelihood with another "
        "picture shows how far language alone gets; CIDEr-D, of the package's "
        "own evaluation, with the other captions of the picture, shows that "
        "the pairs are those of the published figures.",
    ]
    for place in unique((r["captioner"], r["backend"]) for r in results):
        for kind in JUDGES:
            here = [
                r
                for r in results
                if (r["captioner"], r["backend"]) == place and r["set"] == kind
            ]
            if here:
                parts += [title(here[0], place), table(here)]
    return "\n\n".join([*parts, published()]) + "\n"


def title(result, place):
    """Renders the title of a set of judgments, and its counts."""
    return (
        f"## {JUDGES[result['set']]} ({', '.join(place)})\n\n"
        f"{result['pairs']:,} pairs of {result['images']:,} pictures; of "
        f"{result['num_fitting']:,} most judges say that they fit."
    )


def table(results):
    """Renders a row for each scorer."""
    lines = [["scorer", *FIGURES], ["---"] * (1 + len(FIGURES))]
    for result in results:
        cells = [with_interval(result, name) for name in FIGURES.values()]
        lines.append([f"`{result['scorer']}`", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_interval(result, name):
    low, high = result[f"{name}_low"], result[f"{name}_high"]
    return f"{result[name]:.3f} ({low:.3f} to {high:.3f})"


def published():
    """Renders the published figures of metrics of captions."""
    lines = [
        "## Published figures of metrics of captions, on the same pairs",
        "From [Hessel et al., 2021](https://arxiv.org/abs/2104.08718), tables "
        "1 and 2. **Models of another size, and metrics that see references**: "
        "CLIPScore is of a model of some 150 million parameters, pretrained "
        "on 400 million pictures, a hundred times the captioner and a hundred "
        "thousand times its pictures; the others compare a caption with those "
        "that people wrote of the same picture. They say what the judgments "
        "allow for, not what a score of this captioner must reach.",
        "| metric | experts, tau-c | crowd, tau-b |\n| --- | --- | --- |\n"
        + "\n".join(
            f"| {metric} | {expert / 100:.3f} | {crowd / 100:.3f} |"
            for metric, (expert, crowd) in PUBLISHED.items()
        ),
    ]
    return "\n\n".join(lines)
