"""What is never sent, never shown and never run: tokens, public copies, pickled code, packages without a hash."""

import ast
import pickle
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from common import audit
from common.cache import Cache
from common.command import run
from common.duplicates import hashes
from common.errors import UserError
from common.kaggle.client import practice_client
from common.kaggle.practice.dataset_store import DatasetStore
from common.kaggle.practice.kernel_store import KernelStore
from common.kaggle.practice.sandbox import OWN_PROCESSES, can_isolate
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from common.models.weights import read_weights
from common.prepare import prepare
from common.recipe_file import load_recipe
from common.stored import read_array, read_table
from common.train.checkpoint import load_state
from tests.practice_world import practice_competition, quick_settings
from tests.small_data import write_small_aptos
from tests.test_practice_limits import pushed
from tests.walks import DATASET, NOTEBOOK, TOKEN, twice

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for part in ("common", "competitions", "notebooks") for path in (ROOT / part).rglob("*.py")]


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """(file, function as it is written, call) of every call in the project."""
    nodes = ((path, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    found = ((path.relative_to(ROOT).as_posix(), node) for path, node in nodes if isinstance(node, ast.Call))
    return [(file, ast.unparse(node.func), node) for file, node in found]


# Tokens

LOOK = """
import os, subprocess
for name, value in os.environ.items():
    assert "TOKEN" not in value, name
for process in filter(str.isdigit, os.listdir("/proc")):
    for file in ("environ", "cmdline"):
        assert b"TOKEN" not in open(f"/proc/{process}/{file}", "rb").read(), process
for file in FILES:
    assert open(file).read() == "", file
"""


@pytest.mark.skipif(not can_isolate(OWN_PROCESSES), reason="`unshare` does not give processes of one's own here")
def test_a_notebook_finds_no_token_in_its_environment_in_processes_or_in_the_users_files(tmp_path, monkeypatch):
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "SOMETHING_ELSE"):
        monkeypatch.setenv(name, TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("KAGGLE_CONFIG_DIR", raising=False)
    files = [tmp_path / "home" / ".kaggle" / name for name in ("access_token", "kaggle.json", "credentials.json")]
    files[0].parent.mkdir(parents=True)
    for file in files:
        file.write_text(TOKEN)
    cell = LOOK.replace("FILES", str(list(map(str, files)))).replace('"TOKEN"', f"'KGAT_'+'{TOKEN[5:]}'")
    cell = cell.replace("b'KGAT_'+'", "b'KGAT_'+b'")
    with running([practice_competition(tmp_path, "notebook")], tmp_path / "state", quick_settings()) as url:
        assert pushed(practice_client(url).api, tmp_path, cell, 30) == ""
    assert [file.read_text() for file in files] == [TOKEN] * 3, "hidden from the notebook alone"


def test_what_a_submission_makes_on_kaggle_is_private_and_has_no_internet(tmp_path):
    outcome = twice(NOTEBOOK, tmp_path)
    assert outcome.wrong == "", "one submission, and the token nowhere"
    store = Store(tmp_path / "state")
    request = KernelStore(store).versions(DATASET)[0].request
    assert DatasetStore(store).dataset(DATASET).private
    assert (request["isPrivate"], request["enableInternet"]) == (True, False)


def test_nothing_else_makes_datasets_or_notebooks_and_nothing_asks_for_a_public_one():
    makers = {"dataset_create_new", "dataset_create_version", "kernels_push", "save_kernel", "create_dataset"}
    found = [(file, call) for file, name, call in calls() if name.split(".")[-1] in makers]
    assert {file for file, _ in found} == {"common/kaggle/dataset.py", "common/kaggle/kernel.py"}
    assert not any(keyword.arg == "public" for _, call in found for keyword in call.keywords)


# Pickles

UNPICKLING = re.compile(
    r"(pickle|cPickle|_pickle|dill|joblib|cloudpickle|shelve|marshal)\.(load|loads|open|Unpickler)|joblib\.\w+"
    r"|(\w+\.)?read_pickle|yaml\.(load|full_load|unsafe_load)\w*|(torch\.)?hub\.load|jit\.load"
)


def test_nothing_that_is_loaded_may_hold_code():
    found = calls()
    assert [(file, name) for file, name, _ in found if UNPICKLING.fullmatch(name)] == []
    said = {
        file: {word.arg: ast.unparse(word.value) for word in call.keywords}
        for file, name, call in found
        if name == "torch.load"
    }
    assert len(said) >= 2
    assert {file: words for file, words in said.items() if words.get("weights_only") != "True"} == {}
    arrays = [(file, call) for file, name, call in found if re.fullmatch(r"np\.load|np\.lib\.format\.read_array", name)]
    assert len(arrays) >= 2
    for file, call in arrays:
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert words.get("allow_pickle", "False") == "False", file
    fetched = [file for file, name, _ in found if name.endswith("load_state_dict_from_url")]
    assert fetched == []


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def plain_pickle(path: Path, code: Touch) -> None:
    path.write_bytes(pickle.dumps(code))


def torch_pickle(path: Path, code: Touch) -> None:
    torch.save({"step": 1, "code": code}, path)


def array_pickle(path: Path, code: Touch) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([code], dtype=object), allow_pickle=True)


def signed_pickle(path: Path, code: Touch) -> None:
    """With the digest that the state of a training has."""
    torch_pickle(path, code)
    path.write_bytes(sha256(path.read_bytes()).digest() + path.read_bytes())


def small_cache(folder: Path) -> Cache:
    images = sorted((write_small_aptos(folder / "raw", n=4, n_test=1) / "train_images").iterdir())
    table = pd.DataFrame({"id": [image.stem for image in images], "path": list(map(str, images))})
    return prepare(table, "small", 32, folder / "cache", workers=0)


def read_damaged_cache(path: Path):
    return Cache(path.parent)


def read_damaged_hashes(path: Path):
    return hashes(Cache(path.parent))


REPLACED = {
    "weights.pth": read_weights,
    "weights.safetensors": read_weights,
    "state.pt": lambda path: load_state(path, torch.device("cpu")) or refuse("a state that is damaged counts as none"),
    "out_of_fold.parquet": read_table,
    "features.npy": read_array,
    "recipe.json": load_recipe,
    "index.npy": read_damaged_cache,
    "hash-phash256.npy": read_damaged_hashes,
}


def refuse(why: str):
    raise UserError(why)


@pytest.mark.parametrize("write", [plain_pickle, torch_pickle, array_pickle, signed_pickle])
@pytest.mark.parametrize("name", REPLACED)
def test_a_file_that_was_replaced_by_pickled_code_is_one_line_and_the_code_is_not_run(name, write, tmp_path, capsys):
    path, touched = tmp_path / name, tmp_path / "touched"
    if name in ("index.npy", "hash-phash256.npy"):
        images = small_cache(tmp_path)
        hashes(images)
        path = images.folder / name
    capsys.readouterr()
    write(path, Touch(touched))
    assert run(lambda _: REPLACED[name](path), []) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not touched.exists()


def test_the_code_of_these_pickles_does_run_where_nobody_takes_care(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / "touched")))
    assert (tmp_path / "touched").exists()


# Packages


def test_every_package_is_pinned_by_hashes_and_set_up_with_them_alone():
    text = (ROOT / "requirements.txt").read_text()
    pinned = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    assert len(pinned) > 100
    loose = [
        block for block in pinned if not re.match(r"[\w.-]+(\[\w+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", block, re.S)
    ]
    assert loose == []
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if re.search(r"pip (install|sync)", line)]
    assert len(installs) == 2
    assert [line for line in installs if "--require-hashes" not in line] == []


def audited(tmp_path, monkeypatch, says: str, code: int = 0) -> int:
    """With what plays uv, which asks the world."""
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\n{says}\nexit {code}\n")
    uv.chmod(0o755)
    monkeypatch.setattr(audit, "UV", uv)
    return run(lambda _: audit.audit(Path("requirements.txt")), [])


def test_the_audit_names_what_is_vulnerable_and_says_where_it_cannot_look(tmp_path, monkeypatch, capsys):
    sound = '{"dependencies": [{"name": "six", "version": "1.17.0", "vulns": []}], "fixes": []}'
    assert audited(tmp_path, monkeypatch, f"echo '{sound}'") == 0
    assert capsys.readouterr().out == "audit: 1 packages of requirements.txt, none known to be vulnerable\n"
    bad = sound.replace('"vulns": []', '"vulns": [{"id": "PYSEC-1", "fix_versions": ["1.18.0"]}]')
    assert audited(tmp_path, monkeypatch, f"echo '{bad}'", 1) == 2
    assert "1 known vulnerabilities: six 1.17.0: PYSEC-1 (mended in 1.18.0)" in capsys.readouterr().err
    assert audited(tmp_path, monkeypatch, "echo 'Traceback' >&2; echo 'ConnectionError: osv' >&2", 1) == 2
    said = capsys.readouterr().err
    assert said == "error: audit: nothing was looked up, for osv.dev cannot be asked: ConnectionError: osv\n"
