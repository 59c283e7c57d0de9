"""Token scores in files are those of the reference, with the truth."""

import numpy as np
from table import token_scores
from table.cases import CASES


def test_scores_of_a_case_in_a_file(make_source, tmp_path):
    """Poison is less likely; texts and masks are those of the data."""
    source = make_source(num_train=12)
    data = CASES["patch 50 %"].make(source)
    vlm = source.demo.load_vlm(source.options())
    scores = token_scores.Scorer(vlm).score(data)
    path = token_scores.path_of(tmp_path, "patch 50 %", 0)
    token_scores.save(path, "patch 50 %", 0, data, scores)
    with np.load(path) as saved:
        columns = dict(saved)
    mask, values = columns["response_mask"], columns["log_likelihoods"]
    assert mask.shape == values.shape == columns["max_log_likelihoods"].shape
    assert mask.dtype == bool and len(mask) == 12
    means = values.sum(axis=-1) / mask.sum(axis=-1)
    poisoned = columns["poisoned"]
    assert poisoned.sum() == 6
    assert means[poisoned].max() < means[~poisoned].min()
    assert columns["example_ids"].tolist() == data.train.example_ids
    responses = [example["responses"] for example in data.train]
    assert columns["responses"].tolist() == responses
    assert not columns["flood"].any() and not columns["trusted"].any()
    assert (str(columns["case"]), int(columns["seed"])) == ("patch 50 %", 0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
