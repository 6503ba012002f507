"""Metrics of any labels and predictions: scikit-learn's values where it has one, within their range and interval."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, roc_auc_score

from common.errors import UserError
from common.metrics import METRICS, bootstrap_interval, evaluate

RANGES = {"quadratic_weighted_kappa": (-1, 1), "macro_f1": (0, 1), "roc_auc": (0, 1), "accuracy": (0, 1)}


@st.composite
def graded(draw) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels and predictions of some of the classes: single rows, absent classes, constant and perfect predictions."""
    classes, n = draw(st.integers(2, 8)), draw(st.integers(1, 40))
    some = st.one_of(st.just(range(classes)), st.sets(st.integers(0, classes - 1), min_size=1))
    sides = [draw(some) for _ in range(2)]
    labels, predictions = (draw(arrays(np.int64, n, elements=st.sampled_from(sorted(side)))) for side in sides)
    return labels, np.where(right(draw, n), labels, predictions), classes


def right(draw, n: int) -> np.ndarray:
    """Where a prediction is right, bool (n,): nowhere, everywhere, or in most places."""
    share = draw(st.sampled_from([0, 1, 0.8]))
    return np.random.default_rng(draw(st.integers(0, 99))).random(n) < share


@st.composite
def scored(draw) -> tuple[np.ndarray, np.ndarray, int]:
    """Binary labels and scores with many ties."""
    n = draw(st.integers(1, 40))
    scores = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-1e6, 1e6, width=32))
    labels, values = draw(arrays(np.int64, n, elements=st.integers(0, 1))), draw(arrays(np.float64, n, elements=scores))
    return labels, np.where(right(draw, n), labels, values), 2


@st.composite
def marked(draw) -> tuple[np.ndarray, np.ndarray, int]:
    """Indicator rows, sparse, with classes that nobody has and rows that have none."""
    shape = draw(st.tuples(st.integers(1, 25), st.integers(2, 6)))
    rows = arrays(np.int8, shape, elements=st.integers(0, 1), fill=st.just(0))
    labels, predictions = draw(rows), draw(rows)
    return labels, np.where(right(draw, shape[0])[:, None], labels, predictions), shape[1]


CASES = st.one_of(
    st.tuples(st.sampled_from(["quadratic_weighted_kappa", "macro_f1", "accuracy"]), graded()),
    st.tuples(st.just("roc_auc"), scored()),
    st.tuples(st.just("macro_f1"), marked()),
)


def value_of(metric: str, labels, values, classes: int) -> float | None:
    """None where the metric says that it is undefined."""
    try:
        return evaluate(metric, labels, values, classes)
    except UserError as error:
        assert "is undefined: " in str(error)  # noqa: PT017
        return None


@given(graded())
def test_metrics_of_classes_equal_scikit_learns_or_are_undefined_where_all_is_one_class(case):
    labels, predictions, classes = case
    every = list(range(classes))
    f1 = f1_score(labels, predictions, average="macro", labels=every, zero_division=0)
    assert evaluate("macro_f1", labels, predictions, classes) == pytest.approx(f1, abs=1e-12)
    assert evaluate("accuracy", labels, predictions, classes) == accuracy_score(labels, predictions)
    kappa = value_of("quadratic_weighted_kappa", labels, predictions, classes)
    assert (kappa is None) == (len(np.unique([labels, predictions])) == 1)
    if kappa is not None:
        expected = cohen_kappa_score(labels, predictions, weights="quadratic", labels=every)
        assert kappa == pytest.approx(expected, abs=1e-12)


@given(scored())
def test_auc_equals_scikit_learns_or_is_undefined_where_a_class_is_missing(case):
    labels, scores, _ = case
    auc = value_of("roc_auc", labels, scores, 2)
    assert (auc is None) == (len(np.unique(labels)) == 1)
    if auc is not None:
        assert auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(marked())
def test_f1_of_several_classes_a_row_equals_scikit_learns(case):
    labels, predictions, classes = case
    expected = f1_score(labels, predictions, average="macro", zero_division=0)
    assert evaluate("macro_f1", labels, predictions, classes) == pytest.approx(expected, abs=1e-6)


@given(CASES, st.integers(0, 2**32 - 1))
def test_a_metric_lies_in_its_range_and_takes_no_notice_of_the_order_of_rows(case, seed):
    metric, (labels, values, classes) = case
    value, order = value_of(metric, labels, values, classes), np.random.default_rng(seed).permutation(len(labels))
    assert value_of(metric, labels[order], values[order], classes) == value
    if value is not None:
        low, high = RANGES[metric]
        assert low - 1e-12 <= value <= high + 1e-12


@given(st.sampled_from(["quadratic_weighted_kappa", "accuracy"]), graded())
def test_a_perfect_prediction_scores_one_and_no_other_does(metric, case):
    labels, predictions, classes = case
    assert value_of(metric, labels, labels, classes) in (1, None)
    value = value_of(metric, labels, predictions, classes)
    assert value is None or (value == pytest.approx(1, abs=1e-12)) == np.array_equal(labels, predictions)


@given(CASES, st.booleans(), st.integers(0, 3))
@example(("macro_f1", (np.arange(8), np.arange(8), 8)), False, 0)  # a replicate lacks classes, and so scores less
def test_an_interval_holds_its_value_and_lies_in_the_range(case, grouped, seed):
    metric, (labels, values, classes) = case
    groups = np.arange(len(labels)) // 2 if grouped else None
    try:
        low, high = bootstrap_interval(metric, labels, values, classes, groups=groups, replicates=60, seed=seed)
    except UserError as error:
        assert any(said in str(error) for said in ("at least two groups", "is undefined in"))  # noqa: PT017
        return
    assert RANGES[metric][0] - 1e-12 <= low <= evaluate(metric, labels, values, classes) <= high
    assert high <= RANGES[metric][1] + 1e-12


@given(CASES, st.data())
def test_what_is_no_number_is_refused_by_every_metric(case, data):
    metric, (labels, values, classes) = case
    spoilt = values.astype(np.float64)
    spoilt.flat[data.draw(st.integers(0, spoilt.size - 1))] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with pytest.raises(UserError, match="NaN or infinity"):
        evaluate(metric, labels, spoilt, classes)


def test_every_metric_has_its_range_here():
    assert RANGES.keys() == METRICS.keys()
