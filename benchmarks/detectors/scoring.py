"""Figures of each scorer and decision on the same scores of the reference."""

import warnings

import keras_hub

import keras_byorn
from detectors.tables import BUDGET
from keras_byorn import evaluation
from keras_byorn.data import views
from keras_byorn.detection import scorers
from keras_byorn.detection.detector import default_scorer
from keras_byorn.detection.reference_scores import ReferenceScores

BATCH_SIZE = 256


def compare(train, poisoned_ids, chosen_scorers, preset, seed):
    """Applies every scorer and decision to one pass of the reference.

    Args:
        train: the poisoned `Examples`.
        poisoned_ids: set of strings.
        chosen_scorers: list of scorers.
        preset: string. The reference.
        seed: int. Of the decisions.

    Returns:
        A dict from a scorer to its figures, with those of each decision.
    """
    vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(preset)
    prepared = keras_byorn.PreparedExamples(train, vlm, batch_size=BATCH_SIZE)
    reference = keras_byorn.FrozenReference.of(vlm)
    scores = ReferenceScores(reference, prepared, BATCH_SIZE)
    results = {}
    for scorer in chosen_scorers:
        plausibility = scorer.fit(scores).score(scores)
        figures = ranking(train, plausibility, poisoned_ids)
        for threshold in (
            keras_byorn.MixtureThreshold(),
            keras_byorn.FlagFraction(0.4),
        ):
            figures[repr(threshold)] = decision(
                threshold, train, plausibility, poisoned_ids, seed
            )
        results[repr(scorer)] = figures
    return results


def make_scorers(one_pass):
    """Makes all scorers, or those that need one pass of the reference only.

    Args:
        one_pass: bool.
    """
    singles = [
        scorers.MeanLogLikelihood(),
        scorers.Regret(),
        scorers.WorstSpan(4),
        scorers.WorstSpan(4, scorers.Regret()),
        scorers.PointwiseMutualInformation(),
        scorers.PointwiseMutualInformation(views.ShuffledImage()),
        scorers.PointwiseMutualInformation(views.NoPrompt()),
        scorers.ViewConsistency(),
        scorers.SelfAgreement(),
        scorers.Duplication(),
    ]
    mean, regret, _, span, blank, _, _, consistency, _, repeated = singles
    if one_pass:
        return [*singles[:4], default_scorer()]
    return [
        *singles,
        default_scorer(),
        scorers.Ensemble([regret, span, repeated]),
        scorers.Ensemble([mean, span, blank, repeated]),
        scorers.Ensemble([regret, span, blank, repeated]),
        scorers.Ensemble([regret, span, repeated, consistency]),
    ]


def ranking(train, plausibility, poisoned_ids):
    """Returns the figures of a scorer that need no cut, a dict."""
    figures = evaluation.detection(
        train.example_ids,
        plausibility,
        plausibility < plausibility.min(),
        poisoned_ids,
        BUDGET,
    )
    names = ("auroc", "average_precision", "recall_at_budget")
    return {name: figures[name] for name in names}


def decision(threshold, train, plausibility, poisoned_ids, seed):
    """Returns the figures of a threshold, a dict."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no suspects is a figure here
        threshold.fit(plausibility, example_ids=train.example_ids, seed=seed)
    figures = evaluation.detection(
        train.example_ids,
        plausibility,
        threshold.suspect_probability_of(plausibility),
        poisoned_ids,
    )
    names = ("recall", "precision", "flagged_fraction")
    return {
        **{name: figures[name] for name in names},
        "reason": threshold.reason,
    }
