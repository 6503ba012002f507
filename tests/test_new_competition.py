"""A competition of one's own: its declaration is written from the data, and then it has every verb."""

import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.competition import Competition
from common.errors import UserError
from common.options import Options
from common.plain import ClassFolders, LabelTable
from competitions import new, verbs
from competitions.__main__ import VERBS
from competitions.guess import guess_layout
from competitions.sources import source
from tests.small_data import RECIPE, fields_as_words

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("daisy", "red rose", "tulip")
QUICK = fields_as_words(RECIPE.with_fields(epochs=1))


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch) -> Path:
    """An empty working folder without an account; new competitions are written into `competitions` there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new, "HERE", tmp_path / "competitions")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "PRACTICE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def draw(folder: Path, names: list[str], shade: int) -> None:
    random = np.random.default_rng(shade)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), random.normal(40 + 80 * shade, 10, (36, 40, 3)).clip(0, 255).astype(np.uint8))


def draw_classes(root: Path, n: int = 12) -> Path:
    for shade, name in enumerate(CLASSES):
        draw(root / name, [f"{i}.jpg" for i in range(n)], shade)
    return root


def draw_table(root: Path, **columns: list) -> Path:
    """Twelve images of each class in `images`, and train.csv with their paths and these columns."""
    for shade in range(len(CLASSES)):
        draw(root / "images", [f"{shade}-{i}.png" for i in range(12)], shade)
    paths = [f"images/{shade}-{i}.png" for shade in range(len(CLASSES)) for i in range(12)]
    pd.DataFrame({"file": paths, **columns}).to_csv(root / "train.csv", index=False)
    return root


def declared(name: str, data: Path | None = None) -> Competition:
    new.new_competition([name, *(["--data", str(data)] if data else [])])
    return runpy.run_path(str(new.HERE / name / "__init__.py"))["COMPETITION"]


def test_a_folder_of_class_folders_is_declared_and_goes_the_whole_way(capsys):
    data = draw_classes(Path("data/flowers/train")).parent
    flowers = declared("flowers", data)
    assert "read over competitions/flowers/__init__.py; then `make flowers-train`" in capsys.readouterr().out
    assert (flowers.name, flowers.title, flowers.classes) == ("flowers", "Flowers", CLASSES)
    verbs.prepare(flowers, QUICK)
    assert "train: 36 images ready for 32 px" in capsys.readouterr().out
    verbs.submit(flowers, QUICK)
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert line.startswith("practice: flowers submission")
    assert line.endswith("(practice test set)")
    (csv,) = Path("submissions/flowers").glob("*.csv")
    assert len(pd.read_csv(csv)) == 8, "about a fifth of the images plays the test set"


def test_a_folder_that_was_written_is_a_competition_of_the_command_line(tmp_path):
    """In a copy of the code: no other file changes, and the new folder is listed beside the others."""
    for name in ("competitions", "common"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path: path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    data = draw_classes(tmp_path / "pictures")

    def command(*words: str) -> str:
        whole, environment = [sys.executable, "-m", "competitions", *words], {**os.environ, "PYTHONPATH": ""}
        done = subprocess.run(whole, cwd=tmp_path / "copy", env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    command("new-competition", "flowers", "--data", str(data))
    assert "eurosat, flowers, hpa" in command("--help")
    assert command("flowers", "runs") == "no runs of flowers yet\n"
    assert all(path.read_bytes() == content for path, content in before.items())
    written = tmp_path / "copy" / "competitions" / "flowers"
    assert sorted(path.name for path in written.iterdir() if path.is_file()) == ["README.md", "__init__.py"]


@pytest.mark.parametrize("data", ["few", "many", None])
def test_a_declaration_has_fewer_than_40_lines_and_is_formatted(data, world):
    names = {"few": CLASSES, "many": [f"a rather long name of class {i}" for i in range(28)]}
    for name in names.get(data, ()):
        (world / "pictures" / name).mkdir(parents=True)
    declared("flowers", world / "pictures" if data else None)
    file = new.HERE / "flowers" / "__init__.py"
    assert len(file.read_text().splitlines()) < (50 if data == "many" else 40)
    ruff, settings = Path(sys.executable).with_name("ruff"), ["--config", str(ROOT / "pyproject.toml")]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run([ruff, *check, *settings, file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_test_images_are_predicted_and_labelled_ones_are_the_leaderboards(capsys):
    draw_classes(Path("data/flowers/train"))
    draw(Path("data/flowers/test"), ["a.jpg", "b.jpg"], 1)
    flowers = declared("flowers", Path("data/flowers"))
    assert not flowers.labelled_test
    verbs.predict(flowers, QUICK)
    assert "2 test images predicted" in capsys.readouterr().out
    shutil.rmtree("data/flowers/test")
    draw_classes(Path("data/flowers/test"), n=4)
    shutil.rmtree("data/flowers/test/tulip")
    table = flowers.read_test(Path("data/flowers"))
    assert table["id"].tolist()[3:5] == ["test/daisy/3", "test/red rose/0"]
    assert table["label"].tolist() == [0] * 4 + [1] * 4
    assert declared("labelled", Path("data/flowers")).labelled_test


def test_a_table_of_paths_is_read_with_labels_by_name_or_number_and_groups(world):
    names = [name for name in CLASSES for _ in range(12)]
    data = draw_table(world / "table", species=names, patient_id=[f"p{i // 2}" for i in range(36)])
    flowers = declared("flowers", data)
    train = flowers.read_train(data)
    assert list(train) == ["id", "path", "label", "group"]
    assert train["label"].tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert train["group"].nunique() == 18
    assert train["id"][0] == "images/0-0.png"
    assert all(Path(path).is_file() for path in train["path"])
    assert flowers.read_test(data).empty
    pd.DataFrame({"file": ["images/unseen.png"]}).to_csv(data / "test.csv", index=False)
    assert flowers.read_test(data)["id"].tolist() == ["images/unseen.png"]
    draw_table(data, species=[i // 12 for i in range(36)], patient_id=["p"] * 36)
    assert flowers.read_train(data)["label"].tolist() == train["label"].tolist()
    guessed = guess_layout(data)
    assert guessed == LabelTable(("0", "1", "2"), path="file", label="species", group="patient_id")


def test_several_numbers_in_a_cell_make_a_multilabel_task(world, capsys):
    data = draw_table(world / "table", labels=["0 1", "2", "1 2"] * 12)
    flowers = declared("flowers", data)
    assert (flowers.task, flowers.metric, flowers.submission.kind) == ("multilabel", "macro_f1", "labels")
    assert flowers.read_train(data)["label"].tolist()[:3] == ["0 1", "2", "1 2"]
    recipe = flowers.recipes["interventions"].with_fields(
        backbone="test_resnet", weights="none", input_size=32, epochs=1, batch_size=8, folds=2, augment="base"
    )
    verbs.submit(flowers, ["--data", str(data), *fields_as_words(recipe)])
    assert "macro_f1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["daisy", "rose", "tulip"], r"train\.csv: 'label' must name a class \(daisy, red rose, tulip\) or its number"),
        (["daisy", "rose", "tulip"], r"line 3 \(images/0-1\.png\) has 'rose'"),
        (["daisy", "", "tulip"], r"line 3 \(images/0-1\.png\) has ''"),
        (["daisy", "3", "tulip"], r"line 3 \(images/0-1\.png\) has '3'"),
    ],
)
def test_a_label_that_is_no_class_is_named_with_its_row(world, labels, said):
    data = draw_table(world / "table", label=labels * 12)
    with pytest.raises(UserError, match=said):
        LabelTable(CLASSES, path="file").read_train(data)


def test_what_else_is_wrong_in_a_table_is_one_line(world):
    data = draw_table(world / "table", label=["daisy"] * 36, group=["a", ""] * 18)
    with pytest.raises(UserError, match=r"train\.csv: column path is missing; it has file, label, group"):
        LabelTable(CLASSES).read_train(data)
    with pytest.raises(UserError, match=r"train\.csv: 'group' is blank in line 3, 5"):
        LabelTable(CLASSES, path="file", group="group").read_train(data)
    with pytest.raises(UserError, match=r"there is no .*other\.csv; the folder should hold other\.csv with the"):
        LabelTable(CLASSES, train="other.csv").read_train(data)
    table = LabelTable(CLASSES, path="file", several=True)
    draw_table(data, label=["daisy", ""] * 18)
    with pytest.raises(UserError, match=r"must name one class or more, separated by blanks .* has ''"):
        table.read_train(data)


@pytest.mark.parametrize("columns", [{}, {"label": ["daisy", "tulip"]}])
def test_a_training_image_in_the_test_table_is_refused_however_its_path_is_written(world, columns):
    data = draw_table(world / "table", label=[name for name in CLASSES for _ in range(12)])
    table = LabelTable(CLASSES, path="file")
    for same in ("images/1-1.png", "./images/1-1.png", "images/../images/1-1.png", str(data / "images/1-1.png")):
        pd.DataFrame({"file": [same, "images/unseen.png"], **columns}).to_csv(data / "test.csv", index=False)
        with pytest.raises(UserError, match=r"1-1\.png are in the training set and in the test set") as caught:
            table.read_test(data)
        assert "unseen" not in str(caught.value)


@pytest.mark.parametrize("copy", ["test/x.jpg", "test/daisy/x.jpg"])
def test_a_link_to_a_training_image_in_the_test_folder_is_refused(world, copy):
    data = draw_classes(world / "train", n=2).parent
    draw((data / copy).parent, ["unseen.jpg"], 1)
    assert len(ClassFolders(CLASSES).read_test(data)) == 1
    (data / copy).symlink_to(data / "train" / "tulip" / "0.jpg")
    with pytest.raises(UserError, match=f"{data}: {copy} are in the training set"):
        ClassFolders(CLASSES).read_test(data)


def test_one_image_by_two_paths_is_not_two_images(world):
    data = draw_table(world / "table", label=[name for name in CLASSES for _ in range(12)])
    with open(data / "train.csv", "a") as file:
        file.write("./images/2-3.png,tulip\n")
    with pytest.raises(UserError, match=r"'file' images/2-3\.png, \./images/2-3\.png name the same image more than"):
        LabelTable(CLASSES, path="file").read_train(data)


@pytest.mark.parametrize(
    ("part", "twin"), [("train", "train/daisy/0.png"), ("test", "test/0.png"), ("", "daisy/0.png")]
)
def test_pictures_that_differ_in_the_suffix_alone_are_named_and_none_is_lost(world, part, twin):
    data = world / "data"
    if part == "test":
        draw(data / "test", ["0.jpg"], 1)
    draw_classes(data / "train" if part else data, n=2)
    draw((data / twin).parent, ["0.png"], 2)
    read = ClassFolders(CLASSES).read_test if part == "test" else ClassFolders(CLASSES).read_train
    with pytest.raises(UserError, match=rf"0\.jpg and .*{twin} differ in the suffix alone"):
        read(data)


def test_an_image_of_the_table_that_is_not_there_is_named(world):
    data = draw_table(world / "data" / "flowers", label=[name for name in CLASSES for _ in range(12)])
    flowers = declared("flowers", data)
    (data / "images" / "2-3.png").unlink()
    with pytest.raises(UserError, match=r"1 images cannot be read: .*images/2-3\.png \(no such file\)"):
        verbs.prepare(flowers, QUICK)


def test_a_class_folder_that_was_not_declared_is_named(world):
    data = draw_classes(world / "train").parent
    with pytest.raises(UserError, match="folders of no class: tulip"):
        ClassFolders(CLASSES[:2]).read_train(data)


def test_a_competition_without_sample_data_or_the_papers_split_says_so():
    data = draw_classes(Path("data/flowers"))
    flowers = declared("flowers", data)
    with pytest.raises(UserError, match=r"flowers has no sample data: point DATA at its folder or \.zip"):
        verbs.train(flowers, ["--data", "sample"])
    with pytest.raises(UserError, match="recipe: flowers has no 'paper'; there are interventions"):
        verbs.train(flowers, ["--recipe", "paper"])
    with pytest.raises(UserError, match="split 'paper': flowers has no split of the paper"):
        verbs.train(flowers, [*QUICK, "--split", "paper"])
    with pytest.raises(UserError, match="flowers has no Kaggle competition to download from"):
        verbs.download(flowers, [])
    with pytest.raises(UserError, match="flowers has no test set to predict in data/flowers"):
        verbs.predict(flowers, QUICK)


def test_a_declaration_that_promises_test_labels_is_held_to_it(world):
    data = draw_classes(world / "data" / "flowers" / "train").parent
    draw(data / "test", ["a.jpg"], 0)
    flowers = replace(declared("flowers", data), labelled_test=True)
    with pytest.raises(UserError, match="have no labels: declare flowers with labelled_test=False"):
        verbs.submit(flowers, QUICK)


def test_data_in_a_zip_are_unpacked_and_declared(world):
    draw_classes(world / "pictures" / "inner" / "train")
    archive = Path(shutil.make_archive(str(world / "flowers"), "zip", world / "pictures"))
    flowers = declared("flowers", archive)
    assert flowers.classes == CLASSES
    assert len(source(flowers, Options(data=str(archive))).train) == 36


@pytest.mark.parametrize("name", ["Flowers", "2flowers", "my-flowers", "class", "", "flowers/x", "blümchen"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(UserError, match="NAME"):
        new.new_competition([name])


@pytest.mark.parametrize("name", [*(verb for verb in VERBS if "-" not in verb), "practice", "sample"])
def test_a_name_that_means_something_else_is_refused(name):
    with pytest.raises(UserError, match=f"NAME: '{name}' means something else"):
        new.new_competition([name])


def test_nothing_is_overwritten(world):
    declared("flowers")
    before = (new.HERE / "flowers" / "__init__.py").read_text()
    with pytest.raises(UserError, match="a folder competitions/flowers already"):
        new.new_competition(["flowers"])
    assert (new.HERE / "flowers" / "__init__.py").read_text() == before


@pytest.mark.parametrize("file", ["README.md", "__init__.py", "flowers"])
def test_a_kill_leaves_nothing_and_the_same_command_writes_it_all(file, monkeypatch):
    data = draw_classes(Path("data/flowers"))
    whole, write_text = new.texts("flowers", data), new.write_text

    def killed_before(name: str) -> None:
        def kill(path: Path) -> None:
            if path.name == name:
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(new, "write_text", lambda path, text: (kill(path), write_text(path, text)))
        monkeypatch.setattr(Path, "rename", lambda made, path: kill(path))
        new.new_competition(["flowers", "--data", str(data)])

    process = multiprocessing.get_context("fork").Process(target=killed_before, args=[file])
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (new.HERE / "flowers").exists()
    new.new_competition(["flowers", "--data", str(data)])
    assert {path.name: path.read_text() for path in (new.HERE / "flowers").iterdir()} == whole
    assert [path.name for path in new.HERE.iterdir()] == ["flowers"]


def test_data_that_cannot_be_understood_write_nothing(world):
    (world / "empty").mkdir()
    with pytest.raises(UserError, match="should hold two class folders or more, or a CSV with paths of images"):
        new.new_competition(["flowers", "--data", "empty"])
    data = draw_table(world / "table", one=["a"] * 36, two=["b"] * 36)
    with pytest.raises(UserError, match="which column is the label\\? Beside 'file' it has one, two"):
        new.new_competition(["flowers", "--data", str(data)])
    file, whole = data / "train.csv", (data / "train.csv").read_text()
    file.write_text(whole.replace(",", ";"))
    with pytest.raises(
        UserError, match=r"train\.csv: its columns seem to be separated by semicolons: save it with com"
    ):
        new.new_competition(["flowers", "--data", str(data)])
    file.write_bytes(whole.replace("one", "größe").encode("latin-1"))
    with pytest.raises(UserError, match=r"train\.csv: its text is not in UTF-8; save it as a CSV table in UTF-8"):
        new.new_competition(["flowers", "--data", str(data)])
    file.write_text(whole.replace("one", "label"))
    with pytest.raises(UserError, match=r"'label' has one class, and a competition has 2 to 1,000; if another column"):
        new.new_competition(["flowers", "--data", str(data)])
    with pytest.raises(UserError, match="DATA: there is no folder nowhere"):
        new.new_competition(["flowers", "--data", "nowhere"])
    assert not new.HERE.exists()
