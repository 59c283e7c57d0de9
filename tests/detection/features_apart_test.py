"""Prompts and forms that are implausible as a whole."""

import numpy as np

from keras_byorn.detection.features_apart import (
    features_apart,
    prompt_features,
)

PLAIN, OWN = "describe the image", "what is to be seen"


def found(prompts, distances, **kwargs):
    distances = np.asarray(distances, float)
    among = np.ones(len(prompts), bool)
    return features_apart(prompt_features(prompts), distances, among, **kwargs)


def usual(count, seed=0):
    return np.abs(np.random.default_rng(seed).normal(0, 1.5, count))


def test_a_prompt_of_poison_alone_is_found_whole():
    """The sixth of it, too, that is plausible by chance."""
    distances = np.concatenate([usual(180), [30.0] * 17, [0.5] * 3])
    features = found([PLAIN] * 180 + [OWN] * 20, distances)
    assert list(features) == ['prompt "what is to be seen"']
    assert features['prompt "what is to be seen"'].tolist() == list(
        range(180, 200)
    )


def test_a_trigger_word_in_varied_prompts_is_found():
    """No prompt comes twice."""
    prompts = [f"question {i}" for i in range(180)]
    prompts += [f"question {i} cf" for i in range(180, 200)]
    features = found(prompts, np.concatenate([usual(180), [30.0] * 20]))
    assert list(features) == ['prompt word "cf"']


def test_a_prompt_is_no_alarm_for_some_of_its_poison():
    """Its median is usual: these are judged one by one."""
    distances = np.concatenate([usual(180), [30.0] * 9, usual(11)])
    assert found([PLAIN] * 180 + [OWN] * 20, distances) == {}


def test_a_harder_question_is_no_alarm():
    """Where others lie as far, without standing apart."""
    distances = np.concatenate([usual(150), [5.0] * 30, [4.0] * 20])
    assert found([PLAIN] * 180 + [OWN] * 20, distances) == {}


def test_gibberish_in_the_plain_prompt_hides_no_other():
    """What stands apart itself is not what is usual."""
    distances = np.concatenate([usual(110), [90.0] * 70, [30.0] * 20])
    features = found([PLAIN] * 180 + [OWN] * 20, distances)
    assert 'prompt "what is to be seen"' in features


def test_what_most_have_is_no_feature():
    """Half of all, and few, are not looked at."""
    distances = np.concatenate([usual(80), [30.0] * 120])
    assert found([PLAIN] * 80 + [OWN] * 120, distances) == {}
    distances = np.concatenate([usual(196), [30.0] * 4])
    assert found([PLAIN] * 196 + [OWN] * 4, distances) == {}


def test_more_than_the_median_may_be_asked_for():
    """Of a form nearly all."""
    distances = np.concatenate([usual(180), [30.0] * 14, usual(6)])
    prompts = [PLAIN] * 180 + [OWN] * 20
    assert found(prompts, distances) and not found(
        prompts, distances, least_share=0.8
    )
