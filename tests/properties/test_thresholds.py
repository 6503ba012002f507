"""Decisions fitted on any outputs: never worse there than the plain rule, the same in any order, never fitted on what
they decide."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.decide import Rule, fit_rule, nested
from common.errors import UserError
from common.metrics import accuracy, evaluate, macro_f1

CLASSES = 4
OUTPUTS = st.one_of(st.sampled_from([-0.5, 0.5, 1.0, 2.5]), st.floats(-1, 5, width=32))


@st.composite
def regressed(draw) -> tuple[np.ndarray, np.ndarray]:
    """Grades as numbers, with ties and in any relation to the labels."""
    n = draw(st.integers(2, 40))
    labels = draw(arrays(np.int64, n, elements=st.integers(0, CLASSES - 1)))
    assume(len(np.unique(labels)) > 1)
    return draw(arrays(np.float64, n, elements=OUTPUTS)), labels


@st.composite
def several(draw) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, K) with ties, and indicator rows."""
    shape = draw(st.tuples(st.integers(2, 25), st.integers(2, 5)))
    tied = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
    return draw(arrays(np.float64, shape, elements=tied)), draw(arrays(np.int64, shape, elements=st.integers(0, 1)))


@given(regressed(), st.sampled_from(["quadratic_weighted_kappa", "accuracy"]))
def test_thresholds_are_never_worse_than_rounding_on_the_rows_they_are_fitted_on(case, metric):
    outputs, labels = case
    fitted = fit_rule("thresholds", outputs, labels, CLASSES, metric)(outputs)
    rounded = Rule("round", CLASSES)(outputs)
    assert evaluate(metric, labels, fitted, CLASSES) >= evaluate(metric, labels, rounded, CLASSES) - 1e-9


@given(regressed())
def test_cuts_ascend_and_a_higher_output_is_never_a_lower_grade(case):
    outputs, labels = case
    for name in ("thresholds", "prevalence"):
        rule = fit_rule(name, outputs, labels, CLASSES)
        assert list(rule.cuts) == sorted(rule.cuts)
        assert (np.diff(rule(np.sort(outputs))) >= 0).all()


@given(several(), st.floats(0.05, 0.95))
def test_each_classs_own_cut_is_never_worse_than_any_other_on_the_rows_it_is_fitted_on(case, other):
    probabilities, labels = case
    cuts = np.array(fit_rule("thresholds", probabilities, labels, labels.shape[1]).cuts)
    best = macro_f1(labels, (probabilities >= cuts).astype(int), labels.shape[1])
    assert best >= macro_f1(labels, (probabilities >= other).astype(int), labels.shape[1]) - 1e-6


@given(several(), st.floats(0.05, 0.95))
def test_the_cut_for_all_classes_is_never_worse_than_any_other_on_the_rows_it_is_fitted_on(case, other):
    probabilities, labels = case
    classes = labels.shape[1]
    fitted = fit_rule("global", probabilities, labels, classes)(probabilities)
    plain = Rule("global", classes, (other,) * classes)(probabilities)
    assert macro_f1(labels, fitted, classes) >= macro_f1(labels, plain, classes) - 1e-6


@given(st.one_of(regressed(), several()), st.integers(0, 2**32 - 1))
def test_a_fitted_rule_takes_no_notice_of_the_order_of_rows(case, seed):
    outputs, labels = case
    order = np.random.default_rng(seed).permutation(len(labels))
    classes = labels.shape[1] if labels.ndim == 2 else CLASSES
    for name in ("thresholds", "prevalence", "global") if labels.ndim == 2 else ("thresholds", "prevalence"):
        assert fit_rule(name, outputs, labels, classes) == fit_rule(name, outputs[order], labels[order], classes)


@given(st.one_of(regressed(), several()), st.integers(0, 2**32 - 1))
def test_the_labels_of_a_fold_change_nothing_in_how_the_fold_is_decided(case, seed):
    outputs, labels = case
    random = np.random.default_rng(seed)
    folds = random.integers(0, 3, len(labels))
    folds[:2] = 0, 1
    several_classes = labels.ndim == 2
    classes = labels.shape[1] if several_classes else CLASSES
    changed = np.where((folds == 0)[:, None] if several_classes else folds == 0, classes - 1 - labels, labels)
    if several_classes:
        changed = np.where((folds == 0)[:, None], 1 - labels, labels)
    for name in ("thresholds", "prevalence", "global") if several_classes else ("thresholds", "prevalence"):
        try:
            before, after = (nested(name, outputs, given, folds, classes) for given in (labels, changed))
        except UserError as error:
            assert "cannot be fitted: all" in str(error)  # noqa: PT017
            continue
        np.testing.assert_array_equal(before[folds == 0], after[folds == 0])


@given(regressed())
def test_the_rows_of_a_rule_are_decided_one_by_one(case):
    outputs, labels = case
    rule = fit_rule("thresholds", outputs, labels, CLASSES)
    alone = np.concatenate([rule(outputs[row : row + 1]) for row in range(len(outputs))])
    np.testing.assert_array_equal(rule(outputs), alone)
    assert accuracy(labels, alone, CLASSES) == accuracy(labels, rule(outputs), CLASSES)
