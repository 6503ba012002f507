"""The metrics against scikit-learn, their refusals, and the coverage of their intervals."""

import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, roc_auc_score

from common.errors import UserError
from common.metrics import METRICS, accuracy, bootstrap_interval, evaluate, macro_f1, quadratic_weighted_kappa, roc_auc


def random_classes(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels and related predictions; in half of the cases some classes are absent from either."""
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 8))
    n = int(random.integers(3, 200))
    present = random.choice(classes, size=int(random.integers(2, classes + 1)), replace=False)
    labels = random.choice(present, n)
    predictions = np.where(random.random(n) < 0.5, labels, random.choice(present, n))
    labels[:2] = present[:2]
    return labels, predictions, classes


@pytest.mark.parametrize("seed", range(60))
def test_class_metrics_equal_scikit_learn_with_classes_absent(seed):
    labels, predictions, classes = random_classes(seed)
    every = list(range(classes))
    kappa = cohen_kappa_score(labels, predictions, weights="quadratic", labels=every)
    assert quadratic_weighted_kappa(labels, predictions, classes) == pytest.approx(kappa, abs=1e-12)
    f1 = f1_score(labels, predictions, average="macro", labels=every, zero_division=0)
    assert macro_f1(labels, predictions, classes) == pytest.approx(f1, abs=1e-12)
    assert accuracy(labels, predictions, classes) == pytest.approx(accuracy_score(labels, predictions), abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_multilabel_f1_equals_scikit_learn_with_labels_never_present(seed):
    random = np.random.default_rng(seed)
    labels = random.random((80, 28)) < random.random(28) * 0.2
    labels[:, 3] = False
    predictions = labels ^ (random.random(labels.shape) < 0.05)
    expected = f1_score(labels, predictions, average="macro", zero_division=0)
    assert macro_f1(labels, predictions, 28) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_auc_equals_scikit_learn_with_and_without_ties(seed):
    random = np.random.default_rng(seed)
    labels = np.r_[0, 1, random.integers(0, 2, 100)]
    scores = np.round(labels + random.normal(size=102), int(random.integers(0, 4)))
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert roc_auc(labels, np.zeros(102)) == 0.5


def test_kappa_counts_the_distance_over_an_absent_grade():
    labels, predictions = [0, 0, 1, 1, 4, 4], [0, 1, 1, 0, 4, 1]
    without_labels = cohen_kappa_score(labels, predictions, weights="quadratic")
    assert quadratic_weighted_kappa(labels, predictions) != pytest.approx(without_labels, abs=0.01)


@pytest.mark.parametrize(
    ("metric", "labels", "values"),
    [
        ("quadratic_weighted_kappa", [2, 2, 2], [2, 2, 2]),
        ("roc_auc", [0, 0, 0], [0.1, 0.2, 0.3]),
        ("roc_auc", [1], [0.5]),
    ],
)
def test_an_undefined_metric_is_an_error_and_never_nan(metric, labels, values):
    with pytest.raises(UserError, match=f"{metric} is undefined"):
        evaluate(metric, labels, values, 5)


def test_kappa_of_constant_predictions_is_zero():
    assert quadratic_weighted_kappa([0, 1, 2, 3], [2, 2, 2, 2]) == 0
    assert quadratic_weighted_kappa([2, 2, 2, 2], [0, 1, 2, 3]) == 0


@pytest.mark.parametrize(
    ("metric", "labels", "values", "complaint"),
    [
        ("accuracy", [0, 1], [0], "2 labels but 1 predictions"),
        ("accuracy", [], [], "labels are empty"),
        ("accuracy", [0, 1], [0, 5], "predictions must be whole numbers in 0..4, got 5 at row 1"),
        ("accuracy", [0, -1], [0, 1], "labels must be whole numbers"),
        ("quadratic_weighted_kappa", [0, 1], [0, 1.5], "whole numbers"),
        (
            "quadratic_weighted_kappa",
            [0, 1],
            [0, float("nan")],
            "predictions hold NaN or infinity in 1 places, first at row 1",
        ),
        ("quadratic_weighted_kappa", [0, 1], [[0, 1], [1, 0]], "one class a row"),
        ("macro_f1", [[0, 1]], [[0, 1]], "5 columns"),
        ("macro_f1", [[0, 1, 0, 0, 2]], [[0, 1, 0, 0, 1]], "0 or 1"),
        ("roc_auc", [0, 2], [0.1, 0.2], "0..1"),
        ("roc_auc", [0, 1], [0.1, float("inf")], "NaN or infinity"),
        ("roc_auc", [0, 1], [[0.9, 0.1], [0.2, 0.8]], "one number a row"),
        ("accuracy", ["a"], [0], "must be numbers"),
        ("accuracies", [0], [0], "did you mean 'accuracy'"),
    ],
)
def test_malformed_input_is_named(metric, labels, values, complaint):
    with pytest.raises(UserError, match=complaint):
        evaluate(metric, labels, values, 5)


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_holds_the_estimate_and_is_the_same_for_the_same_seed(metric):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    values = labels + random.normal(size=300)
    values = values if METRICS[metric].wants == "probability" else (values > 0.5).astype(int)
    low, high = bootstrap_interval(metric, labels, values, 2, replicates=300)
    assert low < evaluate(metric, labels, values, 2) < high
    assert (low, high) == bootstrap_interval(metric, labels, values, 2, replicates=300)
    assert (low, high) != bootstrap_interval(metric, labels, values, 2, replicates=300, seed=1)
    wider = bootstrap_interval(metric, labels, values, 2, replicates=300, level=0.99)
    assert wider[0] < low < high < wider[1]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    truth, covered = 0.8, 0
    for trial in range(200):
        right = random.random(150) < truth
        low, high = bootstrap_interval("accuracy", np.ones(150, int), right.astype(int), 2, replicates=200, seed=trial)
        covered += low <= truth <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_only_the_grouped_interval_covers_the_truth_where_images_of_a_patient_go_together():
    random = np.random.default_rng(0)
    truth, patients, images = 0.8, 60, 20
    groups = np.repeat(np.arange(patients), images)
    covered = {"grouped": 0, "ungrouped": 0}
    for trial in range(100):
        right = np.repeat(random.random(patients) < truth, images).astype(int)
        for kind, of_row in (("grouped", groups), ("ungrouped", None)):
            low, high = bootstrap_interval("accuracy", np.ones_like(right), right, 2, of_row, 200, seed=trial)
            covered[kind] += low <= truth <= high
    assert covered["grouped"] >= 88
    assert covered["ungrouped"] <= 60


def test_a_replicate_without_one_class_is_skipped_and_too_many_are_an_error():
    scores = np.linspace(0, 1, 40)
    low, high = bootstrap_interval("roc_auc", np.r_[np.zeros(39), 1], scores, 2, seed=3)
    assert 0 < low <= high <= 1
    with pytest.raises(UserError, match=r"undefined in \d+ of 1000 bootstrap replicates"):
        bootstrap_interval("roc_auc", np.r_[1, np.zeros(39)], scores, 2, np.r_[0, np.ones(39)], seed=8)
    with pytest.raises(UserError, match="at least two groups"):
        bootstrap_interval("accuracy", [0, 1], [0, 1], 2, groups=["a", "a"])
    with pytest.raises(UserError, match="2 labels but 3 groups"):
        bootstrap_interval("accuracy", [0, 1], [0, 1], 2, groups=["a", "b", "c"])


def test_a_thousand_replicates_of_33000_rows_take_a_few_seconds():
    random = np.random.default_rng(0)
    labels = (random.random(33_000) < 0.018).astype(int)
    began = time.monotonic()
    low, high = bootstrap_interval("roc_auc", labels, labels + random.normal(size=33_000), 2)
    assert time.monotonic() - began < 15  # a third of a second on an idle core
    assert 0.01 < high - low < 0.06
