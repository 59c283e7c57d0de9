"""Figures of a cell: what the model does, and what the defence did."""

import collections

import numpy as np

from keras_byorn import evaluation

MODEL_FIGURES = ("attack_success_rate", "false_trigger_rate")
# Beside those of each attack; `None` where an attack has no such figure.
VARIANTS = ("containment_rate", "image_only_rate", "text_only_rate")


def of_model(vlm, data, seed):
    """Measures attack success and utility of a tuned model.

    Args:
        vlm: the tuned task.
        data: a `CaseData`.
        seed: int. Of what the attacks draw.

    Returns:
        A dict. `attack_success_rate` and `false_trigger_rate` are those of the
        attack that succeeds most, `attacks` has all figures of each.
    """
    generate = evaluation.responder(vlm)
    responses = generate(list(data.test))
    found = {
        "attack_success_rate": None,
        "false_trigger_rate": None,
        "exact_match": exact_match(responses, data.test),
        "minority_exact_match": None,
        "attacks": {},
    }
    clean_responses = dict(zip(data.test.example_ids, responses))
    for name, attack in data.attacks.items():
        rates = evaluation.attack_success(
            generate, attack, data.test, seed, clean_responses
        )
        names = (*MODEL_FIGURES, *VARIANTS, "num_examples")
        found["attacks"][name] = {figure: rates[figure] for figure in names}
    if found["attacks"]:
        worst = max(
            found["attacks"].values(),
            key=lambda rates: rates["attack_success_rate"] or 0.0,
        )
        found |= {figure: worst[figure] for figure in MODEL_FIGURES}
    if data.minority_test is not None:
        responses = generate(list(data.minority_test))
        found["minority_exact_match"] = exact_match(
            responses, data.minority_test
        )
    return found


def exact_match(responses, examples):
    """Returns the share of responses that are right to the letter."""
    pairs = zip(responses, examples, strict=True)
    return float(
        np.mean([r.split() == e["responses"].split() for r, e in pairs])
    )


def of_defence(detection, store, data):
    """Compares a defence with the ground truth, before and after training.

    Args:
        detection: a `Detection`.
        store: the `TargetStore` after training. A restored example is no
            suspect there.
        data: a `CaseData`.

    Returns:
        A dict. `start` and `end` have the flags, `verdicts_start` and
        `verdicts_end` the counts of each verdict.
    """
    rows = list(store.rows())
    origins = np.array([row.origin for row in rows])
    verdicts = np.asarray(store.verdicts, str)
    poisoned = data.mask(data.poisoned_ids)
    minority = data.mask(data.minority_ids)
    clean = ~data.mask(data.adversarial_ids)
    suspects = np.asarray(store.suspects)
    restored = verdicts == "restored"
    overwritten = origins == "regenerated"
    return {
        "auroc": auroc(detection.plausibility, poisoned),
        "start": flags(np.asarray(detection.suspects), data),
        "end": flags(suspects, data),
        "num_poison_restored": int((poisoned & restored).sum()),
        "num_poison_not_suspect": int((poisoned & ~suspects).sum()),
        "num_clean_suspect": int((clean & suspects).sum()),
        "num_clean_overwritten": int((clean & overwritten).sum()),
        "num_minority_suspect": int((minority & suspects).sum()),
        "num_minority_overwritten": int((minority & overwritten).sum()),
        "verdicts_start": counts(detection.verdicts),
        "verdicts_end": counts(verdicts),
        "reason": detection.reason,
    }


def flags(suspects, data):
    """Compares flags with the ground truth.

    Args:
        suspects: bool array, `(N,)`.
        data: a `CaseData`.

    Returns:
        A dict of shares, `None` where there is nothing to find.
    """
    groups = {
        "recall": data.poisoned_ids,
        "flood_recall": data.flood_ids,
        "noise_recall": data.noise_ids,
        "minority_flagged": data.minority_ids,
    }
    found = {"flagged": float(suspects.mean())}
    for name, ids in groups.items():
        found[name] = float(suspects[data.mask(ids)].mean()) if ids else None
    return found


def auroc(plausibility, poisoned):
    """Returns the chance that poison is less plausible than the others."""
    plausibility = np.asarray(plausibility, "float64")
    known = np.isfinite(plausibility)
    if not known.all() or poisoned.all() or not poisoned.any():
        return None
    ids = [str(index) for index in range(len(poisoned))]
    chosen = {i for i, is_poison in zip(ids, poisoned) if is_poison}
    found = evaluation.detection(
        ids, plausibility, np.zeros(len(ids), bool), chosen
    )
    return found["auroc"]


def counts(verdicts):
    """Counts each verdict, a dict."""
    return dict(sorted(collections.Counter(map(str, verdicts)).items()))
