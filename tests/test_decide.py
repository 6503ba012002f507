"""From outputs to labels, without scoring what was fitted."""

import json
from itertools import combinations_with_replacement

import numpy as np
import pytest

from common.decide import (
    RULES,
    Rule,
    apply_thresholds,
    fit_rule,
    fit_thresholds,
    majority_vote,
    nested,
    prevalence_thresholds,
    round_grades,
)
from common.errors import UserError
from common.metrics import accuracy, quadratic_weighted_kappa
from common.recipe import Recipe

SHARES = [0.49, 0.10, 0.27, 0.06, 0.08]
"""Shares of the grades in APTOS."""


def graded(seed: int, n: int, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Grades and a regression that pulls them towards the middle, as an L1 loss does."""
    random = np.random.default_rng(seed)
    labels = random.choice(5, n, p=SHARES)
    return 0.7 * labels + 0.4 + noise * random.normal(size=n), labels


def best_by_brute_force(metric, outputs, labels, classes) -> float:
    places = np.unique(outputs)
    places = np.r_[places, places[-1] + 1]
    every = combinations_with_replacement(places, classes - 1)
    return max(metric(labels, apply_thresholds(outputs, cuts), classes) for cuts in every)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("metric", [quadratic_weighted_kappa, accuracy])
def test_fitted_thresholds_are_as_good_as_the_best_of_all(metric, seed):
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 5))
    labels = np.r_[0, 1, random.integers(0, classes, int(random.integers(4, 10)))]
    outputs = np.round(labels + random.normal(size=len(labels)), int(random.integers(0, 3)))  # with and without ties
    cuts = fit_thresholds(outputs, labels, classes, metric.__name__)
    assert len(cuts) == classes - 1
    assert (np.diff(cuts) >= 0).all()
    fitted = metric(labels, apply_thresholds(outputs, cuts), classes)
    assert fitted == pytest.approx(best_by_brute_force(metric, outputs, labels, classes), abs=1e-12)


def test_thresholds_fitted_on_one_half_beat_rounding_on_the_other():
    outputs, labels = graded(0, 3000)
    rule = fit_rule("thresholds", outputs[:1500], labels[:1500], 5)
    fitted = quadratic_weighted_kappa(labels[1500:], rule(outputs[1500:]))
    assert fitted > quadratic_weighted_kappa(labels[1500:], round_grades(outputs[1500:], 5)) + 0.01


def test_on_noise_nested_thresholds_score_nothing_where_fitted_ones_score_something():
    fitted, honest = [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        outputs, labels, folds = random.normal(size=300), random.choice(5, 300, p=SHARES), random.integers(0, 5, 300)
        fitted.append(quadratic_weighted_kappa(labels, fit_rule("thresholds", outputs, labels, 5)(outputs)))
        honest.append(quadratic_weighted_kappa(labels, nested("thresholds", outputs, labels, folds, 5)))
    assert np.mean(fitted) > 0.07
    assert abs(np.mean(honest)) < 0.04


@pytest.mark.parametrize("name", ["thresholds", "prevalence"])
def test_a_folds_labels_never_touch_its_own_decisions(name):
    outputs, labels = graded(1, 200)
    folds = np.arange(200) % 4
    shuffled = np.where(folds == 2, np.random.default_rng(0).permutation(labels), labels)
    before, after = (nested(name, outputs, of, folds, 5)[folds == 2] for of in (labels, shuffled))
    np.testing.assert_array_equal(before, after)


def test_a_single_fold_is_cut_into_parts_that_keep_groups_together():
    outputs, labels = graded(2, 400)
    patients = np.repeat(np.arange(100), 4)
    folds = np.full(400, 3)
    values = nested("thresholds", outputs, labels, folds, 5, groups=patients)
    np.testing.assert_array_equal(values, nested("thresholds", outputs, labels, folds, 5, groups=patients))
    one = patients == 17  # what this patient's labels are does not matter to how it is decided
    changed = np.where(one, 4 - labels, labels)
    np.testing.assert_array_equal(values[one], nested("thresholds", outputs, changed, folds, 5, groups=patients)[one])
    with pytest.raises(UserError, match="one group"):
        nested("thresholds", outputs, labels, folds, 5, groups=np.zeros(400))


def test_prevalence_cuts_give_the_shares_asked_for():
    outputs = np.random.default_rng(3).normal(size=1000)
    cuts = prevalence_thresholds(outputs, SHARES)
    np.testing.assert_array_equal(np.bincount(apply_thresholds(outputs, cuts)), [490, 100, 270, 60, 80])


def test_prevalence_cuts_stay_in_order_where_outputs_are_tied_or_a_class_is_absent():
    cuts = prevalence_thresholds(np.array([0.0] * 6 + [1.0] * 4), [0.6, 0.0, 0.1, 0.3])
    assert (np.diff(cuts) >= 0).all()
    np.testing.assert_array_equal(apply_thresholds(np.array([0.0, 1.0]), cuts), [0, 3])
    with pytest.raises(UserError, match="sum to 1"):
        prevalence_thresholds(np.arange(3), [0.5, 0.6])


def test_the_majority_wins_and_a_tie_goes_to_the_middle():
    members = np.array([[0, 0, 2], [0, 4, 2], [3, 2, 1], [3, 2, 1], [4, 0, 0]])
    np.testing.assert_array_equal(majority_vote(members), [3, 2, 1])
    np.testing.assert_array_equal(majority_vote(members[[0, 2]]), [0, 0, 1])  # equally near: the lower


def test_rounding_clips_and_sends_halves_up():
    np.testing.assert_array_equal(round_grades(np.array([-3, 0.49, 0.5, 1.5, 2.5, 9]), 5), [0, 0, 1, 2, 3, 4])


def test_the_rules_are_those_a_recipe_can_name():
    assert set(RULES) == set(Recipe.__annotations__["decision"].__args__)


@pytest.mark.parametrize("name", [name for name in RULES if name != "global"])
def test_every_rule_survives_json_and_decides_members_and_their_mean(name):
    random = np.random.default_rng(4)
    labels = random.integers(0, 5, 60)
    members = random.dirichlet(np.ones(5), size=(3, 60)) + np.eye(5)[labels]
    members /= members.sum(axis=2, keepdims=True)
    rule = fit_rule(name, members, labels, 5)
    again = Rule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert again == rule
    values = again(members)
    np.testing.assert_array_equal(values, rule(members))
    if name == "probability":
        np.testing.assert_allclose(values, members.mean(axis=0))
    else:
        assert values.dtype == np.int64
        assert quadratic_weighted_kappa(labels, values) > 0.5
    assert nested(name, members, labels, np.arange(60) % 3, 5).shape == values.shape


def test_class_probabilities_of_grades_are_cut_at_their_expected_grade():
    probabilities = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.4, 0.6]])
    rule = Rule("thresholds", 5, (0.4, 1.2, 2.0, 3.7))
    np.testing.assert_array_equal(rule(probabilities), rule(np.array([0.5, 3.6])))
    np.testing.assert_array_equal(rule(probabilities), [1, 3])


def test_a_binary_probability_is_decided_at_one_half_or_handed_on():
    probability = np.array([0.2, 0.51, 0.9])
    two_columns = np.stack([1 - probability, probability], axis=1)
    members = np.stack([probability, probability])[..., None]
    for outputs in (probability, two_columns, members):
        np.testing.assert_array_equal(Rule("argmax", 2)(outputs), [0, 1, 1])
        np.testing.assert_allclose(Rule("probability", 2)(outputs).reshape(-1), probability)
    np.testing.assert_array_equal(Rule("majority", 2)(members), [0, 1, 1])


def test_what_cannot_be_decided_is_refused_in_one_line():
    outputs, labels = graded(5, 20)
    with pytest.raises(UserError, match="did you mean 'thresholds'"):
        fit_rule("threshold", outputs, labels, 5)
    with pytest.raises(UserError, match="one cut for rows of several classes"):
        fit_rule("global", outputs, labels, 5)
    with pytest.raises(UserError, match="there are none"):
        fit_rule("thresholds", None, None, 5)
    with pytest.raises(UserError, match="all 20 labels are 2"):
        fit_rule("thresholds", outputs, np.full(20, 2), 5)
    with pytest.raises(UserError, match="roc_auc"):
        fit_rule("thresholds", outputs, labels, 5, metric="roc_auc")
    with pytest.raises(UserError, match="20 outputs but 19 labels"):
        fit_rule("prevalence", outputs, labels[:-1], 5)
    with pytest.raises(UserError, match="needs 5 probabilities a row"):
        Rule("argmax", 5)(outputs)
    with pytest.raises(UserError, match="NaN"):
        Rule("round", 5)(np.array([1.0, np.nan]))
