"""Data sets without a Kaggle competition: their own test labels go to the practice leaderboard and nowhere else."""

import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.competition import Competition, SubmissionFormat
from common.errors import UserError
from common.files import read_json
from common.folders import class_folders
from common.options import Options
from competitions import sources, verbs
from competitions.leaderboards import leaderboard_client
from competitions.sources import PRACTICE, Source, arena, practice_competition, source
from tests.small_data import RECIPE, fields_as_words

CLASSES = ("dark", "light", "white")
WORDS = fields_as_words(RECIPE.with_fields(epochs=25))


def read_part(raw: Path, part: str) -> pd.DataFrame:
    return class_folders(Path(raw) / part, CLASSES, (".png",))


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Tiles in folders, `train/<class>` and `test/<class>`; returns the truth of the test part."""
    random = np.random.default_rng(seed)
    for part, n in (("train", 14), ("test", 8)):
        for shade, name in enumerate(CLASSES):
            (Path(folder) / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(n):
                tile = random.normal(40 + 80 * shade, 10, (36, 36, 3)).clip(0, 255).astype(np.uint8)
                cv2.imwrite(f"{folder}/{part}/{name}/{part}{i}.png", tile)
    return read_part(folder, "test")[["id", "label"]]


TILES = Competition(
    name="tiles",
    title="Tiles",
    task="multiclass",
    classes=CLASSES,
    metric="accuracy",
    takes="practice",
    labelled_test=True,
    submission=SubmissionFormat("id", "label", "class"),
    read_train=lambda raw: read_part(raw, "train"),
    read_test=lambda raw: read_part(raw, "test"),
    paper_split=lambda train: np.arange(len(train)) % 5 == 0,
    make_sample=make_sample,
    recipes={"interventions": RECIPE, "sample": RECIPE},
)


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch) -> Path:
    """An empty working folder without an account, with the raw data of the tiles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "PRACTICE_URL"):
        monkeypatch.delenv(name, raising=False)
    make_sample(Path("data/tiles"), 7)
    return tmp_path


def test_everything_is_trained_on_and_the_labelled_test_part_is_the_leaderboards():
    raw = source(TILES, Options())
    made = arena(raw)
    pd.testing.assert_frame_equal(made.train, raw.train)
    assert made.fingerprint == raw.fingerprint, "runs trained before are found when submitting"
    assert list(made.test()) == ["id", "path"]
    assert made.test()["id"].tolist() == raw.test()["id"].tolist()
    assert "label" not in raw.test()
    assert made.raw == PRACTICE / f"tiles-{raw.fingerprint}"
    sample = pd.read_csv(made.raw / "sample_submission.csv")
    assert list(sample) == ["id", "label"]
    assert set(sample["label"]) == {0}
    truth = pd.read_csv(made.solution)
    assert truth["id"].tolist() == sample["id"].tolist()
    assert truth["label"].tolist() == read_part(raw.raw, "test")["label"].tolist()
    assert not list(raw.raw.glob("*.csv")), "nothing is written into the raw folder"
    assert read_json(made.raw / "practice.json")["competition"] == "tiles"


def test_the_practice_leaderboard_scores_them(tmp_path):
    made = arena(source(TILES, Options()))
    board = practice_competition(made)
    assert board.title == "Tiles"
    pd.read_csv(made.solution).to_csv(tmp_path / "perfect.csv", index=False)
    assert board.scores(tmp_path / "perfect.csv") == (1.0, 1.0)
    public, private = board.scores(made.raw / "sample_submission.csv")
    assert (7 * public + 17 * private) / 24 == pytest.approx(1 / 3)


def test_from_class_folders_to_a_practice_score_and_the_run_is_found_again(world, capsys):
    verbs.prepare(TILES, WORDS)
    assert "test: 24 images ready for 32 px" in capsys.readouterr().out
    verbs.train(TILES, WORDS)
    verbs.submit(TILES, [])
    out = capsys.readouterr().out
    assert len(list(Path("runs/tiles").iterdir())) == 1
    assert "practice: " in out
    (csv,) = Path("submissions/tiles").glob("*.csv")
    table = pd.read_csv(csv)
    truth = pd.read_csv(next(PRACTICE.glob("tiles-*/solution.csv")))
    assert table["id"].tolist() == truth["id"].tolist()
    assert (table["label"] == truth["label"]).mean() > 0.6
    verbs.ledger(TILES, [])
    assert "practice" in capsys.readouterr().out


def test_sample_data_go_the_same_way_and_say_so(capsys):
    raw = source(TILES, Options(data="sample"))
    made = arena(raw)
    assert (raw.mark, made.mark) == ("sample data", "sample data")
    verbs.submit(TILES, ["--data", "sample", *WORDS])
    out = capsys.readouterr().out
    assert out.count("sample data") >= 3
    assert not list(Path("data/tiles-sample").glob("*.csv"))
    assert practice_competition(made).title == "Tiles (sample data)"


def test_the_practice_server_offers_each_of_them_once(monkeypatch):
    monkeypatch.setattr(sources, "names", lambda: ["tiles"])
    monkeypatch.setattr(sources, "load", lambda _: TILES)
    own = arena(source(TILES, Options())).competition.slug
    slugs = [practice.slug for practice in sources.practice_competitions()]
    assert (len(slugs), len(set(slugs)), own in slugs) == (2, 2, True), "sample data, and the test set made here"
    assert [practice.slug for practice in sources.practice_competitions()] == slugs


def test_an_address_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("PRACTICE_URL", "localhost:7777")
    with pytest.raises(UserError, match="PRACTICE_URL is 'localhost:7777'"), leaderboard_client("practice"):
        pass


def test_kaggle_knows_nothing_of_them():
    with pytest.raises(UserError, match="tiles has no Kaggle competition: use `--leaderboard practice`"):
        verbs.submit(TILES, ["--leaderboard", "kaggle", *WORDS])


@pytest.mark.parametrize("made", [False, True])
def test_a_missing_or_empty_folder_says_how_to_get_the_data(made):
    if made:
        Path("elsewhere").mkdir()
    with pytest.raises(UserError, match="no data of tiles in elsewhere: point DATA at its folder"):
        source(TILES, Options(data="elsewhere"))


def test_a_source_with_a_solution_is_its_own_arena(tmp_path):
    raw = Source(TILES, tmp_path, "sample data", tmp_path / "solution.csv")
    assert arena(raw) is raw


def zipped(folder: Path, inside: str = "") -> Path:
    """An archive of `folder`, perhaps with everything below a folder `inside`."""
    with zipfile.ZipFile("tiles.zip", "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, Path(inside, file.relative_to(folder)))
        archive.writestr("__MACOSX/._train", b"")
    return Path("tiles.zip")


@pytest.mark.parametrize("inside", ["", "tiles-1.0"])
def test_a_zip_is_unpacked_once_and_read_where_the_layout_begins(inside, capsys):
    archive = zipped(Path("data/tiles"), inside)
    words = ["--data", str(archive), *WORDS]
    verbs.prepare(TILES, words)
    assert "train: 42 images ready" in capsys.readouterr().out
    raw = source(TILES, Options(data=str(archive)))
    assert raw.fingerprint == source(TILES, Options()).fingerprint, "the same data, wherever they come from"
    (unpacked,) = Path("data").glob("tiles-tiles-*")
    assert raw.raw == unpacked / inside
    times = {file: file.stat().st_mtime_ns for file in unpacked.rglob("*")}
    shutil.move(archive, "elsewhere.zip")
    shutil.move("elsewhere.zip", archive)
    assert source(TILES, Options(data=str(archive))).raw == raw.raw
    assert {file: file.stat().st_mtime_ns for file in unpacked.rglob("*")} == times


def test_an_archive_whose_unpacking_was_killed_goes_on(monkeypatch):
    archive = zipped(Path("data/tiles"))
    whole, calls = zipfile.ZipFile.open, []

    def killed(self, member, *arguments, **options):
        calls.append(member)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return whole(self, member, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", killed)
    with pytest.raises(KeyboardInterrupt):
        source(TILES, Options(data=str(archive)))
    assert not list(Path("data").glob("tiles-tiles-*")), "half of it is never taken for all"
    raw = source(TILES, Options(data=str(archive)))
    assert len(raw.train) == 42
    assert len(calls) == 30 + (42 + 24 + 1 - 29), "what was there was not unpacked again"
    assert not list(Path("data").glob(".*unfinished"))


def test_what_is_wrong_in_an_archive_is_named(tmp_path):
    (tmp_path / "no.zip").write_text("no archive")
    with pytest.raises(UserError, match=r"no\.zip cannot be read as a zip archive .*: download it again"):
        source(TILES, Options(data="no.zip"))
    with zipfile.ZipFile("unsafe.zip", "w") as archive:
        archive.writestr("../outside.png", b"")
    with pytest.raises(UserError, match=r"'\.\./outside\.png' would lie outside the folder"):
        source(TILES, Options(data="unsafe.zip"))
    for inside in ("", "inner"):
        (tmp_path / "data/tiles/train/purple").mkdir(exist_ok=True)
        (tmp_path / "data/tiles/train/purple/x.png").write_bytes(b"")
        with pytest.raises(UserError, match=r"train has folders of no class: purple"):
            source(TILES, Options(data=str(zipped(Path("data/tiles"), inside)))).train  # noqa: B018


def test_predict_scores_the_labelled_parts_that_are_there(capsys):
    elsewhere = {"far": lambda raw: read_part(raw, "test"), "gone": lambda raw: pd.DataFrame(columns=["id", "path"])}
    tiles = replace(TILES, labelled_parts=elsewhere)
    verbs.predict(tiles, WORDS)
    out = capsys.readouterr().out
    (run,) = Path("runs/tiles").iterdir()
    predicted, test = pd.read_parquet(run / "far.parquet"), pd.read_parquet(run / "test.parquet")
    pd.testing.assert_frame_equal(predicted, test)
    means = predicted.groupby("id", sort=False)[["p0", "p1", "p2"]].mean()
    right = (means.to_numpy().argmax(1) == read_part("data/tiles", "test")["label"].to_numpy()).mean()
    assert re.search(
        rf"^far: accuracy {right:.4f} \(95% interval [01]\.\d+ to [01]\.\d+\) on 24 images$", out, re.MULTILINE
    )
    assert "gone" not in out
    verbs.predict(tiles, WORDS)
    assert capsys.readouterr().out == out, "told again, and predicted once"


def test_without_a_test_set_that_is_told():
    tiles = replace(TILES, read_test=None, labelled_test=False)
    raw = source(tiles, Options())
    assert not raw.has_test
    with pytest.raises(UserError, match="tiles has no test set to predict in data/tiles: compare runs by their folds"):
        raw.test()
    assert len(arena(raw).test()) == 9, "the practice leaderboard holds a fifth out"
