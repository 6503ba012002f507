"""Validation rows: the published choice to the row, and folds that keep groups apart."""

import numpy as np
import pytest

from common.errors import UserError
from common.splits import class_balanced_choice, grouped_folds


def published_choice(labels, fraction, seed):
    """The authors' procedure in their own terms: the global legacy generator and lists."""
    np.random.seed(seed)  # noqa: NPY002
    chosen = []
    for label in range(max(labels) + 1):
        indices = [index for index, value in enumerate(labels) if value == label]
        chosen.extend(np.random.choice(indices, int(fraction * len(indices)), replace=False).tolist())  # noqa: NPY002
    return sorted(chosen)


def in_random_order(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.mark.parametrize(
    ("counts", "seed", "validates"),
    [
        ((1805, 370, 999, 193, 295), 414, 731),  # APTOS
        ((1087, 2189, 2386, 13158, 2577), 414, 4277),  # cassava
        ((3000, 3000, 3000, 2500, 2500, 2000, 2500, 3000, 2500, 3000), 42, 5400),  # EuroSAT
    ],
)
def test_the_published_choice_is_reproduced_row_by_row(counts, seed, validates):
    labels = in_random_order(counts)
    choice = class_balanced_choice(labels, 0.2, seed)
    assert choice.dtype == bool
    assert choice.sum() == validates
    assert np.flatnonzero(choice).tolist() == published_choice(labels.tolist(), 0.2, seed)


def test_the_choice_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    class_balanced_choice(in_random_order((50, 50)), 0.2, 414)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def patients(rng, n=1200, people=150):
    """Labels that cluster in groups of unequal size."""
    groups = rng.choice(people, n, p=rng.dirichlet(np.ones(people)))
    labels = (rng.uniform(size=n) < 0.05 + 0.3 * (groups % 7 == 0)).astype(int)
    return labels, np.array([f"patient {group}" for group in groups])


def test_a_group_lies_in_one_fold_and_classes_are_balanced():
    labels, groups = patients(np.random.default_rng(0))
    folds = grouped_folds(labels, groups, 5, seed=1)
    assert set(folds) == set(range(5))
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
    rates = [labels[folds == fold].mean() for fold in range(5)]
    assert max(rates) - min(rates) < 0.03
    assert np.bincount(folds).min() > 0.9 * len(labels) / 5


def test_every_row_its_own_group_gives_exactly_balanced_folds():
    labels = in_random_order((180, 37, 100, 19, 30))
    for groups in (None, [f"image {i}" for i in range(len(labels))]):
        folds = grouped_folds(labels, groups, 5, seed=3)
        table = np.array([np.bincount(labels[folds == fold], minlength=5) for fold in range(5)])
        assert (table.max(axis=0) - table.min(axis=0) <= 1).all()


@pytest.mark.parametrize("alone", [False, True])
def test_folds_do_not_depend_on_the_order_of_the_rows(alone):
    rng = np.random.default_rng(2)
    labels, groups = patients(rng)
    if alone:
        groups = np.array([f"image {i}" for i in range(len(labels))])
    order = rng.permutation(len(labels))
    folds = grouped_folds(labels, groups, 4, seed=5)
    assert np.array_equal(grouped_folds(labels[order], groups[order], 4, seed=5), folds[order])


def test_another_seed_gives_other_folds_and_the_same_seed_the_same():
    labels, groups = patients(np.random.default_rng(0))
    first = grouped_folds(labels, groups, 5, seed=1)
    assert np.array_equal(first, grouped_folds(labels, groups, 5, seed=1))
    assert not np.array_equal(first, grouped_folds(labels, groups, 5, seed=2))


def test_a_class_rarer_than_the_folds_is_spread_over_different_folds():
    labels = np.array([0] * 30 + [1] * 30 + [2] * 3)
    folds = grouped_folds(labels, None, 5, seed=0)
    assert len(set(folds[labels == 2])) == 3


def test_fewer_groups_than_folds_is_a_user_error():
    with pytest.raises(UserError, match="5 folds cannot be made of 40 rows in 4 groups; use fewer --folds"):
        grouped_folds(np.tile([0, 1], 20), np.repeat(list("abcd"), 10), 5, seed=0)


def test_more_folds_than_rows_is_a_user_error():
    with pytest.raises(UserError, match="use fewer --folds"):
        grouped_folds(np.array([0, 1, 0]), None, 5, seed=0)


def test_a_fold_of_one_class_is_refused_before_it_is_trained():
    with pytest.raises(UserError, match=r"would hold one class only \(class 0: 50 rows, class 1: 3 rows\)"):
        grouped_folds(np.array([0] * 50 + [1] * 3), None, 5, seed=0)
