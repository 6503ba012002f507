"""Splits of any labels and groups: every row once, groups whole, classes as even as they can be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.errors import UserError
from common.splits import class_balanced_choice, grouped_folds


@st.composite
def labelled(draw, grouped: bool) -> tuple[np.ndarray, list[str] | None, int]:
    """Labels with rare classes and gaps, perhaps in groups of very unequal size, and a number of folds."""
    n, k = draw(st.integers(2, 80)), draw(st.integers(2, 6))
    labels = draw(arrays(np.int64, n, elements=st.sampled_from(sorted(draw(st.sets(st.integers(0, 6), min_size=1))))))
    if not grouped:
        return labels, None, k
    numbers = draw(arrays(np.int64, n, elements=st.integers(0, draw(st.integers(1, n)))))
    return labels, [f"patient {number}" for number in numbers], k


def folds_of(labels, groups, k: int, seed: int) -> np.ndarray | None:
    """None where the split is refused, in a line that says what to do."""
    try:
        return grouped_folds(labels, groups, k, seed)
    except UserError as error:
        assert str(error).endswith("use fewer --folds")  # noqa: PT017
        return None


@given(labelled(grouped=True), st.integers(0, 5))
def test_every_row_is_in_one_fold_every_group_is_whole_and_no_fold_is_empty(case, seed):
    labels, groups, k = case
    folds = folds_of(labels, groups, k, seed)
    if folds is None:
        return
    assert folds.shape == labels.shape
    assert set(folds) == set(range(k))
    fold_of = dict(zip(groups, folds, strict=True))
    assert all(fold_of[group] == fold for group, fold in zip(groups, folds, strict=True))


@given(labelled(grouped=False), st.integers(0, 5))
def test_without_groups_each_class_and_each_fold_is_even_to_one_row_a_class(case, seed):
    labels, _, k = case
    folds = folds_of(labels, None, k, seed)
    if folds is None:
        return
    for label in np.unique(labels):
        counts = np.bincount(folds[labels == label], minlength=k)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(folds, minlength=k)
    assert sizes.max() - sizes.min() <= 1


@given(labelled(grouped=True), st.integers(0, 5))
def test_with_groups_a_fold_is_larger_than_another_by_no_more_than_two_of_the_largest_groups(case, seed):
    labels, groups, k = case
    folds = folds_of(labels, groups, k, seed)
    if folds is None:
        return
    largest = np.unique(groups, return_counts=True)[1].max()
    sizes = np.bincount(folds, minlength=k)
    assert sizes.max() - sizes.min() <= 2 * largest


@given(labelled(grouped=True), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_with_groups_the_order_of_rows_changes_nothing(case, seed, shuffle):
    labels, groups, k = case
    order = np.random.default_rng(shuffle).permutation(len(labels))
    folds = folds_of(labels, groups, k, seed)
    moved = folds_of(labels[order], np.array(groups)[order], k, seed)
    assert (folds is None) == (moved is None)
    if folds is not None:
        np.testing.assert_array_equal(moved, folds[order])


@given(labelled(grouped=False), st.floats(0, 1), st.integers(0, 1000))
def test_the_class_balanced_choice_takes_the_same_share_of_every_class(case, fraction, seed):
    labels, _, _ = case
    chosen = class_balanced_choice(labels, fraction, seed)
    for label in np.unique(labels):
        of_class = labels == label
        assert chosen[of_class].sum() == int(fraction * of_class.sum())
    np.testing.assert_array_equal(chosen, class_balanced_choice(labels, fraction, seed))
