"""Makes the notebooks of the guides.

python guides/make_notebooks.py          # writes guides/ipynb/*.ipynb
python guides/make_notebooks.py --check  # exits 1 where they differ

A guide is a Python file. Triple-quoted blocks at its top level are Markdown,
the first of them the header; what stands between them is code. Comments above
the header are for linters and stay out of the notebook.
"""

import argparse
import ast
import pathlib
import sys

import nbformat

REPOSITORY = "keras-byorn/keras_byorn"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
FOLDER = pathlib.Path(__file__).resolve().parent
HEADER = (
    "Title",
    "Author",
    "Date created",
    "Last modified",
    "Description",
    "Accelerator",
)
INSTALL = f"""\
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "keras-byorn[data,eval,plots] @ \
git+https://github.com/{REPOSITORY}\""""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [guide for guide in guides() if not is_fresh(guide)]
    for guide in stale:
        target = notebook_path(guide)
        if check:
            print(f"{target} is not what {guide} makes")
            continue
        target.parent.mkdir(exist_ok=True)
        target.write_text(notebook_text(guide), "utf-8")
        print(target)
    return 1 if check and stale else 0


def guides():
    """The guides' sources, in order of their names."""
    paths = sorted(FOLDER.glob("*.py"))
    return [path for path in paths if path != pathlib.Path(__file__).resolve()]


def notebook_path(guide):
    """Where the notebook of a guide is."""
    return FOLDER / "ipynb" / f"{guide.stem}.ipynb"


def is_fresh(guide):
    """Whether the notebook is there and is what the guide makes."""
    path = notebook_path(guide)
    return path.exists() and path.read_text("utf-8") == notebook_text(guide)


def notebook_text(guide):
    """The notebook of a guide, as the text of its file.

    The same guide gives the same text: cells are numbered, not given random
    ids, and have no outputs.

    Args:
        guide: path of the guide's source.

    Returns:
        A string.

    Raises:
        ValueError: if the guide has no header, or lacks a line of it.
    """
    header, *blocks = split_blocks(guide.read_text("utf-8"))
    opening = [
        ("markdown", badge(guide.stem)),
        ("markdown", title(header, guide)),
        ("code", INSTALL),
    ]
    cells = []
    for number, (kind, source) in enumerate(opening + blocks):
        new_cell = {
            "markdown": nbformat.v4.new_markdown_cell,
            "code": nbformat.v4.new_code_cell,
        }[kind]
        cells.append(new_cell(source, id=f"cell-{number:03d}"))
    notebook = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "colab": {"name": guide.stem, "provenance": []},
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
    )
    notebook.nbformat_minor = 5  # the first version in which cells have ids
    nbformat.validate(notebook)
    return nbformat.writes(notebook, indent=1) + "\n"


def split_blocks(source):
    """Cuts a guide into `("markdown" or "code", text)` pairs.

    Args:
        source: string. The guide.

    Returns:
        A list of pairs, without empty ones.
    """
    lines = source.splitlines()
    nodes = ast.parse(source).body
    blocks, start = [], nodes[0].lineno - 1
    for node in nodes:
        if not _is_text(node, lines):
            continue
        blocks.append(("code", lines[start : node.lineno - 1]))
        blocks.append(("markdown", node.value.value.splitlines()))
        start = node.end_lineno
    blocks.append(("code", lines[start:]))
    texts = [(kind, "\n".join(text).strip("\n")) for kind, text in blocks]
    return [(kind, text) for kind, text in texts if text]


def title(header, guide):
    """The header as Markdown."""
    kind, text = header
    fields = dict(
        line.split(": ", 1) for line in text.splitlines() if ": " in line
    )
    missing = [name for name in HEADER if name not in fields]
    if kind != "markdown" or missing:
        raise ValueError(
            "A guide must open with a triple-quoted header, a line each for "
            f"{', '.join(HEADER)}. Missing: {missing}. Received: {guide}"
        )
    return (
        f"# {fields['Title']}\n\n"
        f"**Author:** {fields['Author']}<br>\n"
        f"**Date created:** {fields['Date created']}<br>\n"
        f"**Last modified:** {fields['Last modified']}<br>\n"
        f"**Description:** {fields['Description']}"
    )


def badge(name):
    """The Open-in-Colab badge of a guide."""
    notebook = f"{REPOSITORY}/blob/main/guides/ipynb/{name}.ipynb"
    url = f"https://colab.research.google.com/github/{notebook}"
    return f"[![Open in Colab]({BADGE})]({url})"


def _is_text(node, lines):
    """Whether a statement is a triple-quoted block of text."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and lines[node.lineno - 1].startswith(('"""', 'r"""'))
    )


if __name__ == "__main__":
    sys.exit(main())
