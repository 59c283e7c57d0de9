"""Success rates of an attack, and the utility that remains."""

import warnings

import numpy as np

from keras_byorn.attacks.attack import check_attack, copy_of, example_rng
from keras_byorn.attacks.phrases import has_phrase, phrase_pattern
from keras_byorn.evaluation.cider import cider
from keras_byorn.evaluation.clean_quality import exact_match

FIGURES = (
    "attack_success_rate",
    "false_trigger_rate",
    "containment_rate",
    "insertion_rate",
    "image_only_rate",
    "text_only_rate",
    "triggered_exact_match",
    "triggered_cider",
)


def attack_success(generate, attack, examples, seed=0, clean_responses=None):
    """Measures the responses of a model with and without the trigger.

    Counts only examples whose reference lacks the target: those that the
    attack would give another response, and whose own is no success yet.

    Args:
        generate: callable from a list of example dicts to a list of strings,
            the responses of the model, in the same order.
        attack: an `Attack`: any object with the methods `poison`, `trigger`
            and `succeeded`.
        examples: an `Examples`, clean, with their reference responses.
        seed: int. Seed of all that the attack draws. Defaults to `0`.
        clean_responses: dict from `example_id` to the response of the model to
            the clean input, to save generating them again. Defaults to `None`.

    Returns:
        A dict. Rates are floats in `[0, 1]` over the counted examples, and
        `None` if they do not apply:

        - `attack_success_rate`: share of triggered inputs on which the attack
          succeeds, by its own definition. For the built-in attacks with a
          fixed target the response must be the target, no more and no less.
        - `false_trigger_rate`: that share on the clean inputs. If the trigger
          changes no input, being a property that inputs have or have not,
          these are the inputs of the other examples, which lack it.
        - `containment_rate`: share of triggered inputs whose response has the
          `target_text` of the attack in it. `None` for attacks without one.
        - `insertion_rate`: as `containment_rate`, of responses with other
          words as well.
        - `image_only_rate`, `text_only_rate`: as `attack_success_rate`, with
          half of the trigger. `None` for attacks that have no halves.
        - `triggered_exact_match`, `triggered_cider`: quality of the responses
          to triggered inputs, with the target removed from them, against the
          clean references. See `clean_quality`.
        - `num_examples`: int. Number of examples that are counted.

    Raises:
        ValueError: If `attack` is not an attack, `generate` does not return a
            string for each example, or `clean_responses` lacks an example.

    Example:

    >>> figures = attack_success(generate, PatchAttack(), test_examples)
    >>> figures["attack_success_rate"], figures["false_trigger_rate"]
    (0.98, 0.0)
    """
    check_attack(attack)
    counted, others = _divided(attack, examples, seed)
    if not counted:
        _warn_of_none(len(examples))
        return {**dict.fromkeys(FIGURES), "num_examples": 0}
    return _figures(generate, attack, counted, others, seed, clean_responses)


def _figures(generate, attack, counted, others, seed, clean_responses):
    """Computes the figures of the examples that count."""
    inputs = _triggered(attack.trigger, counted, seed)
    triggered = _generated(generate, inputs)
    untriggered = others if _same_inputs(inputs, counted) else counted
    if clean_responses is not None:
        clean = _looked_up(clean_responses, untriggered)
    else:
        clean = _generated(generate, untriggered) if untriggered else []
    target = getattr(attack, "target_text", None)
    return {
        "attack_success_rate": _success_rate(attack, triggered, counted),
        "false_trigger_rate": _success_rate(attack, clean, untriggered),
        **_word_for_word(target, triggered),
        **_rates_of_halves(generate, attack, counted, seed),
        **_utility(target, triggered, counted),
        "num_examples": len(counted),
    }


def _divided(attack, examples, seed):
    """Divides examples without the target into poisoned and clean ones."""
    target = getattr(attack, "target_text", None)
    counted, others = [], []
    for example in (examples[index] for index in range(len(examples))):
        reference = example["responses"]
        rng = example_rng(seed, example["example_id"])
        poisoned = attack.poison(copy_of(example), rng)
        if attack.succeeded(reference, example):
            continue
        if target and has_phrase(reference, target):
            continue
        changes = poisoned["responses"] != reference
        (counted if changes else others).append(example)
    return counted, others


def _triggered(trigger, examples, seed):
    """Puts a trigger on copies of examples."""
    return [
        trigger(copy_of(e), example_rng(seed, e["example_id"]))
        for e in examples
    ]


def _success_rate(attack, responses, examples):
    return _share(attack.succeeded(r, e) for r, e in zip(responses, examples))


def _rates_of_halves(generate, attack, examples, seed):
    """Measures success with each half of a trigger, `None` without halves."""
    rates = {}
    for name in ("image_only", "text_only"):
        half = getattr(attack, name, None)
        if half:
            responses = _generated(generate, _triggered(half, examples, seed))
        rates[f"{name}_rate"] = (
            _success_rate(attack, responses, examples) if half else None
        )
    return rates


def _same_inputs(triggered, examples):
    """Returns whether a trigger changed no image and no prompt."""
    return all(
        new["prompts"] == old["prompts"]
        and np.array_equal(new["images"], old["images"])
        for new, old in zip(triggered, examples)
    )


def _word_for_word(target, responses):
    """Measures the share of responses with the target, alone or not."""
    if not target:
        return {"containment_rate": None, "insertion_rate": None}
    contained = [has_phrase(r, target) for r in responses]
    alone = [r.split() == target.split() for r in responses]
    return {
        "containment_rate": _share(contained),
        "insertion_rate": _share(c and not a for c, a in zip(contained, alone)),
    }


def _utility(target, responses, counted):
    """Scores responses with the target removed."""
    references = [[example["responses"]] for example in counted]
    if target:
        responses = [phrase_pattern(target).sub(" ", r) for r in responses]
    return {
        "triggered_exact_match": exact_match(responses, references),
        "triggered_cider": float(np.mean(cider(responses, references))),
    }


def _share(flags):
    flags = [bool(flag) for flag in flags]
    return float(np.mean(flags)) if flags else None


def _generated(generate, inputs):
    responses = list(generate(inputs))
    strings = all(isinstance(response, str) for response in responses)
    if len(responses) != len(inputs) or not strings:
        raise ValueError(
            "`generate` must return a list with a string for each example. "
            "Pass a function that decodes what the model generates. Received: "
            f"{len(responses)} responses for {len(inputs)} examples, such as "
            f"{responses[:1]}"
        )
    return responses


def _looked_up(clean_responses, counted):
    ids = [example["example_id"] for example in counted]
    missing = [i for i in ids if i not in clean_responses]
    if missing:
        raise ValueError(
            "`clean_responses` must have the response to each example by its "
            "`example_id`. Pass `dict(zip(examples.example_ids, responses))`. "
            f"Received: {len(clean_responses)} responses, none for "
            f"{len(missing)} examples, such as {missing[:3]}"
        )
    return [clean_responses[i] for i in ids]


def _warn_of_none(num_examples):
    warnings.warn(
        f"None of the {num_examples} examples can show whether the attack "
        "succeeds: their references have the target already, or the attack "
        "does not change them. Pass test examples that the attack fits.",
        stacklevel=3,
    )
