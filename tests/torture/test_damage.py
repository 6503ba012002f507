"""Bits that flip on the disk: found out by a checksum, and never used."""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch

from common.cache import Cache
from common.errors import UserError
from common.feed import Feed
from common.feed_device import DeviceFeed
from common.files import write_record
from common.journal import Journal
from common.kaggle.ledger import Ledger
from common.models.tensors import write_tensors
from common.models.weights import read_weights
from common.predict import to_table
from common.prepare import prepare
from common.run import Run
from common.stored import read_table, write_table
from common.train.checkpoint import load_state, save_state
from common.tuning.study import storage_at
from tests.small_data import RECIPE, write_images
from tests.torture.disks import flip

FEW, MANY = 25, 200
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Kind:
    """A file that we write, and how it is read: whatever in it is used."""

    file: Path
    read: Callable[[], Any]
    rebuilt: Any = None
    """What reading gives where the file is not believed, and is made again by whoever reads it."""


def pictures(folder: Path) -> Cache:
    ids = [f"{i:03}" for i in range(12)]
    write_images(folder / "images", ids, np.arange(12) % 5, seed=0)
    table = pd.DataFrame({"id": ids, "path": [str(folder / "images" / f"{id}.png") for id in ids]})
    return prepare(table, "tiny", 32, folder / "cache", format="raw", workers=1)


def all_of(folder: Path) -> list:
    cache = Cache(folder)
    return [cache.ids, cache.skipped, cache.shapes.tolist(), [cache[i].tobytes() for i in range(len(cache))]]


def plain(table: pd.DataFrame) -> dict:
    return table.to_dict("list")


def values(tensors: dict[str, torch.Tensor] | None) -> dict | None:
    return tensors and {name: value.tolist() for name, value in tensors.items()}


def write_run(folder: Path) -> Run:
    random, about = np.random.default_rng(0), {"competition": "aptos", "recipe": RECIPE.to_dict(), "data": "abc"}
    write_record(folder / "run.json", {**about, "started": "2026-01-01T00:00:00+00:00", "skipped": []})
    write_record(folder / "metrics.json", {"score": 0.8123456789, "interval": [0.7, 0.9], "rule": {"cuts": [0.5, 1.5]}})
    ids = [f"{i:012x}" for i in range(60)]
    labels, outputs = np.arange(60) % 5, random.random((60, 5))
    write_table(folder / "out_of_fold.parquet", to_table(ids, outputs, fold=labels % 2, label=labels))
    write_table(folder / "test.parquet", to_table(ids, outputs[:, 0].astype(np.float32), member=0, fold=1))
    tensors = {"conv.weight": torch.randn(8, 3, 3, 3), "bn.count": torch.tensor(7), "half": torch.randn(5).half()}
    write_tensors(folder / "fold-0" / "weights-003.safetensors", tensors)
    write_record(folder / "fold-0" / "done", {"weights": ["weights-003.safetensors"]})
    save_state(folder / "fold-0" / "last.state", tensors)
    return Run(folder)


def write_ledger(path: Path) -> None:
    ledger = Ledger(path)
    for number in range(20):
        facts = {"competition": "aptos", "leaderboard": "kaggle", "run_id": f"run{number}", "sha256": "ab" * 32}
        row = ledger.add(**facts, description=f"run {number}", file=f"{number}.csv", cv_score=0.8 + number / 1000)
        ledger.update(row, state="scored", public_score=0.81, private_score=0.8, ref=1000 + number)


def write_study(path: Path) -> None:
    study = optuna.create_study(study_name="aptos/x", storage=storage_at(str(path)), direction="maximize")
    study.set_user_attr("question", {"space": {"strength": [0, 2]}})
    for _ in range(5):
        trial = study.ask({"strength": optuna.distributions.FloatDistribution(0, 2)})
        trial.report(0.5, 1)
        study.tell(trial, trial.params["strength"] / 3)


def trials(path: Path) -> list:
    study = optuna.load_study(study_name="aptos/x", storage=storage_at(str(path)))
    told = [(trial.params, trial.state.name, trial.value, trial.intermediate_values) for trial in study.get_trials()]
    return [study.user_attrs, told]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, Kind]:
    folder = tmp_path_factory.mktemp("damage")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cache, run, fold = pictures(folder).folder, write_run(folder / "runs" / "a"), folder / "runs" / "a" / "fold-0"
    write_ledger(folder / "ledger.sqlite")
    write_study(folder / "study.journal")
    return {
        "pixels": Kind(cache / "pixels.bin", lambda: all_of(cache)),
        "index": Kind(cache / "index.npy", lambda: all_of(cache)),
        "facts of a cache": Kind(cache / "cache.json", lambda: all_of(cache)),
        "run": Kind(run.folder / "run.json", lambda: [run.about["data"], run.recipe, run.about["skipped"]]),
        "metrics": Kind(run.folder / "metrics.json", lambda: {name: run.metrics[name] for name in ("score", "rule")}),
        "done": Kind(fold / "done", run.weights),
        "weights": Kind(fold / "weights-003.safetensors", lambda: values(read_weights(run.weights()[0][1]))),
        "state": Kind(fold / "last.state", lambda: values(load_state(fold / "last.state", CPU))),
        "out of fold": Kind(
            run.folder / "out_of_fold.parquet", lambda: plain(read_table(run.folder / "out_of_fold.parquet"))
        ),
        "test": Kind(run.folder / "test.parquet", lambda: plain(read_table(run.folder / "test.parquet"))),
        "ledger": Kind(folder / "ledger.sqlite", lambda: Ledger(folder / "ledger.sqlite").rows()),
        "study": Kind(folder / "study.journal", lambda: trials(folder / "study.journal")),
    }


NAMES = ("pixels", "index", "facts of a cache", "run", "metrics", "done", "weights", "state", "out of fold", "test")
NAMES += ("ledger", "study")


@contextmanager
def as_it_was(file: Path) -> Iterator[None]:
    content = file.read_bytes()
    try:
        yield
    finally:
        file.write_bytes(content)


@dataclass
class Counts:
    refused: int = 0
    rebuilt: int = 0
    harmless: int = 0
    wrong: list[str] = None


def flipped(name: str, kind: Kind, times: int) -> Counts:
    """One bit at a time flips in the file, which is then read."""
    random, whole, counts = Random(f"10 {name}"), kind.read(), Counts(wrong=[])
    for _ in range(times):
        with as_it_was(kind.file):
            where = flip(kind.file, random)
            try:
                found = kind.read()
            except UserError as error:
                named = kind.file.name in str(error) or f"{kind.file.parent} is" in str(error)
                counts.refused += 1
                counts.wrong += [] if named and "\n" not in str(error) else [f"{where}: {error}"]
            except Exception as error:
                counts.wrong.append(f"{where}: {type(error).__name__}: {error}")
            else:
                counts.rebuilt += found is None
                counts.harmless += found == whole
                counts.wrong += [] if found is None or found == whole else [f"{where}: believed"]
    return counts


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_never_believed(name, kinds):
    assert flipped(name, kinds[name], FEW).wrong == []


@pytest.mark.torture
def test_many_flipped_bits_are_never_believed(kinds, say):
    begun = time.monotonic()
    found = {name: flipped(name, kinds[name], MANY) for name in NAMES}
    for name, counts in found.items():
        told = f"{counts.refused} refused, {counts.rebuilt} rebuilt, {counts.harmless} without effect"
        say(f"{name}: {MANY} flipped bits: {told}, {len(counts.wrong)} believed or not told in one line")
    say(f"({time.monotonic() - begun:.0f} s)")
    assert [wrong for counts in found.values() for wrong in counts.wrong] == []


def damage_one_image(cache: Cache) -> None:
    begin = cache._begin[7]
    with open(cache.folder / "pixels.bin", "r+b") as file:
        file.seek(begin + 100)
        byte = file.read(1)[0]
        file.seek(begin + 100)
        file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [Feed, DeviceFeed])
def test_a_feed_stops_at_a_damaged_image_and_names_it(kind, workers, tmp_path):
    from common.augment import evaluation_transform

    damage_one_image(pictures(tmp_path))
    cache = Cache(next((tmp_path / "cache").glob("tiny-*")))
    with (
        kind(cache, np.arange(12), 32, evaluation_transform(32), 4, seed=0, workers=workers) as feed,
        pytest.raises(UserError, match=r"is damaged \(1 of 12 images: 007\); remove it and prepare again$"),
    ):
        list(feed.epoch(0))


def test_an_image_is_compared_with_its_checksum_once_by_whichever_process_reads_it_first(tmp_path):
    cache = pictures(tmp_path)
    with Feed(cache, np.arange(12), 32, lambda image, _: image[:32, :32], 4, seed=0, workers=2) as feed:
        list(feed.epoch(0))
    damage_one_image(cache)
    cache.verify()
    with pytest.raises(UserError, match="1 of 12 images: 007"):
        Cache(cache.folder).verify()


def test_the_notes_of_an_unfinished_cache_are_believed_as_a_whole_or_not_at_all(tmp_path):
    def fresh() -> Journal:
        return Journal(tmp_path / "cache", 8)

    with fresh() as journal:
        blobs = [bytes([row]) * (100 + row) for row in range(8)]
        for row, blob in enumerate(blobs):
            journal.add(row, journal.append(blob), len(blob), 10, 10 + row, zlib.crc32(blob))
    noted, log = journal.entries.copy(), tmp_path / "cache" / "done.log"
    content, random, believed = log.read_bytes(), Random(10), 0
    for _ in range(100):
        log.write_bytes(content)
        flip(log, random)
        with fresh() as found:
            assert (found.entries[found.done] == noted[found.done]).all()
            believed += found.done.all()
    assert believed < 20
    log.write_bytes(content)
    with fresh() as found:
        assert found.done.all()


def test_files_of_before_there_were_checksums_are_read_as_they_are(tmp_path):
    import json

    from safetensors.torch import save_file

    run = write_run(tmp_path / "runs" / "a")
    about = {
        name: value for name, value in json.loads((run.folder / "run.json").read_text()).items() if name != "checksum"
    }
    (run.folder / "run.json").write_text(json.dumps(about))
    table = read_table(run.folder / "test.parquet")
    table.to_parquet(run.folder / "test.parquet", index=False)
    file = run.folder / "fold-0" / "weights-003.safetensors"
    save_file(read_weights(file), file)
    assert run.about == about
    assert read_table(run.folder / "test.parquet").equals(table)
    assert len(read_weights(file)) == 3
