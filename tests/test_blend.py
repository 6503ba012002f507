"""Averages over members."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from common.blend import align, rank_mean, weighted_mean
from common.errors import UserError
from common.metrics import roc_auc


def test_a_weighted_mean_keeps_probabilities_summing_to_one():
    members = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 20))
    blend = weighted_mean(members, [2, 1, 1])
    np.testing.assert_allclose(blend, members[0] / 2 + members[1] / 4 + members[2] / 4)
    np.testing.assert_allclose(blend.sum(axis=1), 1)
    np.testing.assert_allclose(weighted_mean(members), members.mean(axis=0))


def test_the_rank_mean_takes_no_notice_of_any_increasing_change_of_scale():
    random = np.random.default_rng(1)
    first, second = random.random((2, 50))
    np.testing.assert_array_equal(rank_mean([first, second]), rank_mean([first**9, np.exp(5 * second)]))


def test_tied_values_share_their_average_rank_and_all_stay_within_0_and_1():
    np.testing.assert_allclose(rank_mean([[0.1, 0.7, 0.7, 0.9]]), [0.125, 0.5, 0.5, 0.875])
    assert rank_mean([[0.3]]) == 0.5


def test_columns_are_ranked_by_themselves():
    members = np.random.default_rng(2).random((2, 30, 3))
    blend = rank_mean(members, [1, 3])
    for column in range(3):
        ranks = [(rankdata(member[:, column]) - 0.5) / 30 for member in members]
        np.testing.assert_allclose(blend[:, column], 0.25 * ranks[0] + 0.75 * ranks[1])


def test_a_rank_mean_beats_the_mean_where_one_member_shouts():
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 2000)
    quiet = 0.5 + 0.01 * (labels + random.normal(size=2000))
    loud = labels + 3 * random.normal(size=2000)
    assert roc_auc(labels, rank_mean([quiet, loud])) > roc_auc(labels, weighted_mean([quiet, loud])) + 0.05


@pytest.mark.parametrize(
    ("members", "weights", "complaint"),
    [
        ([], None, "no members"),
        ([[0.1, 0.2], [0.1]], None, "member 2 has shape"),
        ([[0.1, 0.2], [0.1, float("nan")]], None, "member 2 holds NaN or infinity, first at row 1"),
        ([[]], None, "no rows"),
        ([[0.1], [0.2]], [1], "2 numbers"),
        ([[0.1], [0.2]], [1, -1], "at least 0"),
        ([[0.1], [0.2]], [0, 0], "not all 0"),
        ([[0.1], [0.2]], [1, float("nan")], "at least 0"),
    ],
)
@pytest.mark.parametrize("average", [weighted_mean, rank_mean])
def test_malformed_members_and_weights_are_named(average, members, weights, complaint):
    with pytest.raises(UserError, match=complaint):
        average(members, weights)


def test_tables_are_brought_into_the_order_of_the_first():
    first = pd.DataFrame({"id": ["a", "b", "c"], "p": [1.0, 2.0, 3.0]})
    second = pd.DataFrame({"id": ["c", "a", "b"], "p": [30.0, 10.0, 20.0]}, index=[7, 8, 9])
    aligned = align([first, second])
    assert aligned[1].to_dict("list") == {"id": ["a", "b", "c"], "p": [10.0, 20.0, 30.0]}
    assert list(second["id"]) == ["c", "a", "b"], "the table that was passed in has changed"


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        (["a", "b"], "table 2 lacks the ids c"),
        (["a", "b", "c", "d"], "table 1 lacks the ids d"),
        (["a", "b", "b"], "repeats"),
    ],
)
def test_tables_of_different_images_are_refused_with_the_ids(ids, complaint):
    tables = [pd.DataFrame({"id": ["a", "b", "c"]}), pd.DataFrame({"id": ids})]
    with pytest.raises(UserError, match=complaint):
        align(tables)
