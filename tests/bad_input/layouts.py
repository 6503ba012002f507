"""What can be wrong with downloads that are no plain table: camera traps in JSON, class folders, maps and splits beside
a table, and colours and bands in files of their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import PREPARE, Case
from tests.bad_input.tables import READY, rewritten

TRAPS = "eccv_18_annotation_files/train_annotations.json"
PAPER = (*PREPARE, "--split", "paper")
BANDS = (*PREPARE, "--channels", "13")
CLASSES_OF_CASSAVA = "label_num_to_disease_map.json"


def traps(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """The camera traps' file of training annotations after `edit`, in place or returned."""

    def spoil(raw: Path) -> None:
        content = json.loads((raw / TRAPS).read_text())
        content = edit(content) or content
        (raw / TRAPS).write_text(json.dumps(content))

    return spoil


def written(path: str, content: str) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).write_text(content)

    return spoil


def moved(source: str, target: str) -> Callable[[Path], None]:
    return lambda raw: (raw / source).rename(raw / target) and None


def copied(source: str, target: str) -> Callable[[Path], None]:
    return lambda raw: (raw / target).write_bytes((raw / source).read_bytes()) and None


CASES = [
    Case("annotations that break off", rewritten(lambda text: text[:99], TRAPS), "as JSON", ("cct20",)),
    Case("annotations nested without end", written(TRAPS, "[" * 100_000), "as JSON", ("cct20",)),
    Case("annotations that are a list", traps(lambda content: [content]), "has no list 'images'", ("cct20",)),
    Case("annotations without images", traps(lambda c: c.update(images=None)), "no list 'images'", ("cct20",)),
    Case(
        "an image without a sequence", traps(lambda c: c["images"][0].update(seq_id=None)), "lacks 'seq_id'", ("cct20",)
    ),
    Case(
        "an annotation of no image",
        traps(lambda c: c.update(images=c["images"][:5])),
        "not in its 'images': train05",
        ("cct20",),
    ),
    Case(
        "an unknown animal",
        traps(lambda c: c["annotations"][0].update(category_id=2)),
        "unknown category_id 2",
        ("cct20",),
    ),
    Case(
        "an animal that is a list",
        traps(lambda c: c["annotations"][0].update(category_id=[1])),
        "category_id",
        ("cct20",),
    ),
    Case("an image twice", traps(lambda c: c["images"].append(c["images"][0])), "more than once", ("cct20",)),
    Case(
        "an image outside the folder",
        traps(lambda c: c["images"][0].update(file_name="../../x.jpg")),
        "cannot name a file",
        ("cct20",),
    ),
    Case(
        "an image whose name is a number",
        traps(lambda c: c["images"][0].update(file_name=7)),
        "(no such file)",
        ("cct20",),
    ),
    Case("a folder of no class", written("2750/Desert/Desert_1.jpg", ""), "folders of no class: Desert", ("eurosat",)),
    Case(
        "a class without a folder",
        moved("train/cat", "cat"),
        "has no folder for cat",
        ("cifar10",),
    ),
    Case("a table among the images", written("2750/River/list.csv", ""), "list.csv is no image", ("eurosat",)),
    Case("no folder of training images", moved("train", "training"), "train; the data folder or .zip", ("cifar10",)),
    Case("hidden files among the images", written("train/cat/.DS_Store", ""), READY, ("cifar10",), handled=True),
    Case(
        "names of the classes in another order",
        written(CLASSES_OF_CASSAVA, '{"0": "Healthy"}'),
        "must name the classes",
        ("cassava",),
    ),
    Case("names of the classes that break off", written(CLASSES_OF_CASSAVA, '{"0": '), "as JSON", ("cassava",)),
    Case("no split of the paper", lambda raw: None, "needs hpa_split.csv", ("hpa",), PAPER),
    Case("a split of other images", written("hpa_split.csv", "Id,Split\nx,val\n"), "of a00, a01, a02", ("hpa",), PAPER),
    Case(
        "a split with other words",
        written("hpa_split.csv", "Id,Split\na00,test\n"),
        "neither train, val",
        ("hpa",),
        PAPER,
    ),
    Case("no folds of tfrecords", lambda raw: None, "needs the column tfrecord", ("melanoma",), PAPER),
    Case(
        "a fold of tfrecords that is no number",
        rewritten(lambda text: text.replace("\n", ",x\n").replace(",x", ",tfrecord", 1)),
        "'tfrecord' must be a whole number",
        ("melanoma",),
    ),
    Case(
        "a colour of which there is no file",
        lambda raw: (raw / "train/a00_yellow.png").unlink(),
        "a00_yellow.png: no such file",
        ("hpa",),
    ),
    Case(
        "a colour that is broken",
        lambda raw: (raw / "train/a00_red.png").write_bytes(b"x"),
        "a00_red.png: not an image",
        ("hpa",),
    ),
    Case("13 bands that are RGB", lambda raw: None, "use --channels 3", ("eurosat",), BANDS),
]
