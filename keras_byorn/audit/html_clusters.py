"""Clusters of the audit's page: what is shared, and who is in them."""

import collections

from keras_byorn.audit.html_images import one_picture, thumbnail
from keras_byorn.audit.html_text import MAX_ID, pieces

MAX_CLUSTERS = 200
NUM_PICTURES = 3
MAX_SHARED, MAX_SAMPLE, MAX_LABEL = 300, 300, 40
# Of a cluster that shares nothing.
NOTHING = "none"

_MEANINGS = {
    "replace": "all say one thing, and the model writes new responses",
    "mask": "a span in otherwise plausible responses is left out of the loss",
    "leave out": "varied and implausible: a style or a task that the reference "
    "does not know, or poison; left out, and never overwritten",
    "restore": "nothing but their rank speaks against them, and a student "
    "judges again",
}


class ClusterViews:
    """Makes views of clusters, with all that the page shows of them.

    Args:
        clusters: list of `Cluster`, or of objects with its attributes. The
            first `MAX_CLUSTERS` are shown.
        table: `pyarrow.Table` from `build_table()`.
        examples: `Examples`, to read pictures of samples from.
        max_pictures: int. Pictures of all clusters together.

    Attributes:
        num_pictures: int. So many pictures the views have.
        num_left_out: int. Clusters that are not shown.
    """

    def __init__(self, clusters, table, examples, max_pictures):
        self._clusters = clusters[:MAX_CLUSTERS]
        self._examples = examples
        self._ids = ids_by_cluster(table)
        wanted = sum(len(c.sample_ids[:NUM_PICTURES]) for c in self._clusters)
        self.num_pictures = min(wanted, max_pictures)
        self.num_left_out = len(clusters) - len(self._clusters)

    def __len__(self):
        return len(self._clusters)

    def __iter__(self):
        left = self.num_pictures
        for cluster in self._clusters:
            num_pictures = min(left, len(cluster.sample_ids[:NUM_PICTURES]))
            left -= num_pictures
            yield {
                **shared_view(cluster),
                "num_held_out": len(self._ids[cluster.number]),
                "meaning": _MEANINGS.get(cluster.proposal),
                "sample": [
                    {
                        "id": pieces(example_id, most=MAX_ID),
                        "response": pieces(response, most=MAX_SAMPLE),
                        "image": self._image(example_id)
                        if position < num_pictures
                        else None,
                    }
                    for position, (example_id, response) in enumerate(
                        zip(cluster.sample_ids, cluster.sample)
                    )
                ],
            }

    def facts(self):
        """Returns what the script needs: labels, and the ids of all members."""
        return [
            {
                "number": int(cluster.number),
                "label": pieces(_label(cluster), most=MAX_LABEL),
                "ids": self._ids[cluster.number],
            }
            for cluster in self._clusters
        ]

    def _image(self, example_id):
        example = self._examples.by_id(example_id)
        return thumbnail(one_picture(example["images"]))


def shared_view(cluster, most=MAX_SHARED):
    """Returns the short facts of a cluster, its texts in pieces.

    Args:
        cluster: `Cluster`, or an object with its attributes.
        most: int. Characters of its text.
    """
    is_nothing = cluster.kind == NOTHING
    return {
        "number": int(cluster.number),
        "kind": "nothing" if is_nothing else pieces(cluster.kind, most=MAX_ID),
        "text": pieces(cluster.text, most=most),
        "size": int(cluster.size),
        "num_contents": int(cluster.num_contents),
        "proposal": pieces(cluster.proposal, most=MAX_ID),
    }


def ids_by_cluster(table):
    """Returns the ids of the examples in each cluster, a `defaultdict`.

    Args:
        table: `pyarrow.Table` from `build_table()`.
    """
    found = collections.defaultdict(list)
    numbers = table["cluster"].to_pylist()
    for number, example_id in zip(numbers, table["example_id"].to_pylist()):
        if number is not None:
            found[number].append(example_id)
    return found


def _label(cluster):
    if cluster.kind == NOTHING:
        return "nothing shared"
    return f"{cluster.kind}: {cluster.text}" if cluster.text else cluster.kind
