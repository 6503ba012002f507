"""What is read: it comes back as it was written, and whatever else is there is one line of a UserError."""

import contextlib
import csv
import io
import json
import string
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.errors import UserError
from common.files import write_json
from common.labels import as_text, indicator
from common.recipe import FIELDS, Recipe, recipe_from_dict
from common.recipe_file import load_recipe, save_recipe
from common.run import find_run
from common.submission import validate, write
from common.tables import labels, read_csv
from competitions import load
from competitions.arguments import parse_recipe
from tests.small_data import fields_as_words
from tests.test_submission import competition

APTOS = load("aptos")
WORD = st.text(string.ascii_letters + string.digits + "._-/ é", min_size=1, max_size=12).filter(
    lambda word: word.strip() == word and not word.startswith("-")
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def one_line(error: UserError) -> bool:
    return bool(str(error)) and "\n" not in str(error)


# Recipes


def values_of(kind: Any) -> st.SearchStrategy:
    """Values of a field's type, within its bounds, from which its own checks may still take some away."""
    if hasattr(kind, "__metadata__"):
        bounds = {type(rule).__name__: rule for part in kind.__metadata__ for rule in getattr(part, "metadata", [])}
        inner = get_args(kind)[0]
        if inner in (int, float):
            low = getattr(bounds.get("Ge"), "ge", None) or getattr(bounds.get("Gt"), "gt", 0)
            high = getattr(bounds.get("Le"), "le", None) or getattr(bounds.get("Lt"), "lt", 100)
            outside = {"exclude_min": "Gt" in bounds, "exclude_max": "Lt" in bounds} if inner is float else {}
            return st.integers(low, high) if inner is int else st.floats(low, high, **outside)
        return values_of(inner)
    if get_origin(kind) is tuple:
        return st.lists(values_of(get_args(kind)[0]), min_size=1, max_size=3).map(tuple)
    if get_args(kind):
        return st.sampled_from(get_args(kind))
    return {bool: st.booleans(), int: st.integers(0, 9), str: WORD}[kind]


KINDS = get_type_hints(Recipe, include_extras=True)


@st.composite
def recipes(draw) -> Recipe:
    """Recipes that differ from the default in some fields, whichever go together."""
    recipe = Recipe()
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=8, unique=True)):
        with contextlib.suppress(UserError):
            recipe = recipe.with_fields(**{name: draw(values_of(KINDS[name]))})
    return recipe


@given(recipes())
def test_a_recipe_as_command_line_words_is_the_same_recipe(recipe):
    parsed = parse_recipe(APTOS, "train", ["--recipe", "sample", *fields_as_words(recipe)])
    assert parsed.recipe == recipe
    assert parsed.asked


@given(recipes())
def test_a_recipe_in_a_file_or_in_a_run_is_the_same_recipe(tmp_path, recipe):
    save_recipe(tmp_path / "mine.json", recipe, {"of": "a study"})
    assert load_recipe(tmp_path / "mine.json") == recipe
    again = recipe_from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert again.identity() == recipe.identity()


@given(st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)), JSON, max_size=4))
def test_a_recipe_file_of_any_values_is_a_recipe_or_one_line(tmp_path, values):
    write_json(tmp_path / "mine.json", {"recipe": values})
    try:
        recipe = load_recipe(tmp_path / "mine.json")
    except UserError as error:
        assert one_line(error)  # noqa: PT017
        assert "mine.json" in str(error)  # noqa: PT017
        return
    assert values.keys() <= set(FIELDS)
    assert recipe_from_dict(recipe.to_dict()) == recipe


@given(st.binary(max_size=60))
def test_a_recipe_file_of_any_bytes_is_one_line(tmp_path, content):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(UserError) as refused:
        load_recipe(tmp_path / "mine.json")
    assert one_line(refused.value)
    assert "mine.json" in str(refused.value)


@given(st.lists(st.one_of(st.sampled_from([f"--{name.replace('_', '-')}" for name in FIELDS]), st.text(max_size=6))))
def test_any_words_are_a_recipe_or_one_line(words):
    assume(not {"-h", "--help"} & set(words))
    try:
        recipe = parse_recipe(APTOS, "train", words).recipe
    except UserError as error:
        assert one_line(error)  # noqa: PT017
    else:
        assert recipe_from_dict(recipe.to_dict()) == recipe


# Tables

IDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
        lambda name: not set(name) & set("/\\") and name not in (".", "..")
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


def table_of(ids: list[str], grades: list[int], bom: bool, end: str, quoted: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([("image", "grade"), *zip(ids, grades, strict=True)])
    return text.getvalue().encode("utf-8-sig" if bom else "utf-8")


@given(IDS, st.data(), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_table_comes_back_whatever_its_ids_mark_line_ends_and_quotes(tmp_path, ids, data, bom, end, quoted):
    grades = data.draw(st.lists(st.integers(0, 4), min_size=len(ids), max_size=len(ids)))
    (tmp_path / "t.csv").write_bytes(table_of(ids, grades, bom, end, quoted))
    table = read_csv(tmp_path / "t.csv", ["image", "grade"], "image", "t.csv")
    assert table["image"].tolist() == ids
    assert labels(table, "grade", 5, "image", tmp_path / "t.csv").tolist() == grades


CELLS = st.text(st.characters(codec="utf-8"), max_size=6)


@given(st.one_of(st.binary(max_size=80), st.lists(CELLS, max_size=8).map(lambda c: ",".join(["image,grade\n", *c]))))
def test_a_table_of_any_bytes_is_read_whole_or_is_one_line(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        table = read_csv(tmp_path / "t.csv", ["image", "grade"], "image", "t.csv")
        found = labels(table, "grade", 5, "image", tmp_path / "t.csv")
    except UserError as error:
        assert one_line(error)  # noqa: PT017
        assert "t.csv" in str(error)  # noqa: PT017
    else:
        assert table["image"].is_unique
        assert set(found) <= set(range(5))


@given(st.lists(st.sets(st.integers(0, 27), min_size=1), min_size=1, max_size=8))
def test_several_classes_a_row_come_back_from_their_text(rows):
    matrix = np.array([[number in row for number in range(28)] for row in rows], dtype=np.int8)
    np.testing.assert_array_equal(indicator(as_text(matrix), 28), matrix)


# Ids of runs and submissions


@given(st.one_of(st.text(max_size=12), st.sampled_from([".", "..", "../aptos/0123", "0123/", "./0123", "/0123", "*"])))
def test_no_id_of_a_run_leads_out_of_its_folder(tmp_path, run_id):
    for name in ("aptos/0123", "cassava/4567"):
        write_json(tmp_path / name / "run.json", {})
    try:
        run = find_run(tmp_path, "aptos", run_id)
    except UserError as error:
        assert one_line(error)  # noqa: PT017
    else:
        assert run.folder == tmp_path / "aptos" / "0123"


def sample_of(folder: Path, ids: list[str]) -> Path:
    with open(folder / "sample_submission.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id_code", "diagnosis"), *((name, 0) for name in ids)])
    return folder / "sample_submission.csv"


@given(IDS, st.sampled_from(["class", "probability", "labels"]), st.integers(0, 2**32 - 1))
def test_a_submission_comes_back_as_it_was_written_in_the_order_of_the_sample(tmp_path, ids, kind, seed):
    random, sample = np.random.default_rng(seed), sample_of(tmp_path, ids)
    values = {
        "class": random.integers(0, 3, len(ids)),
        "probability": random.random(len(ids)),
        "labels": np.maximum(random.integers(0, 2, (len(ids), 3)), [0, 1, 0]),
    }[kind]
    order = random.permutation(len(ids))
    write(tmp_path / "submission.csv", [ids[i] for i in order], values[order], competition(kind), tmp_path)
    table = validate(tmp_path / "submission.csv", competition(kind), sample)
    expected = as_text(values) if kind == "labels" else values.tolist()
    assert (table["id_code"].tolist(), table["diagnosis"].tolist()) == (ids, expected)


@given(st.sampled_from(["class", "probability", "labels"]), st.lists(CELLS, min_size=3, max_size=3))
def test_a_submission_with_any_cells_is_right_or_one_line(tmp_path, kind, cells):
    sample, path = sample_of(tmp_path, ["a", "b", "c"]), tmp_path / "submission.csv"
    rows = pd.DataFrame({"id_code": ["a", "b", "c"], "diagnosis": cells})
    path.write_bytes(rows.to_csv(index=False).encode())
    try:
        found = validate(path, competition(kind), sample)["diagnosis"]
    except UserError as error:
        assert one_line(error)  # noqa: PT017
        assert "submission.csv" in str(error)  # noqa: PT017
        return
    assert len(found) == 3
    if kind == "labels":
        assert indicator(found, 3).any(axis=1).all()
    else:
        assert found.between(0, 2 if kind == "class" else 1).all()
