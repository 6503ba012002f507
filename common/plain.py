"""The two plain layouts of data of one's own: a folder for each class, or a table of paths and labels.

A declaration names one of them. pandas is not imported before something is read.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError, listing

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


@dataclass(frozen=True)
class ClassFolders:
    """`train/<class>/*.jpg`, or `<class>/*.jpg` in the folder itself; and perhaps `test/*.jpg`, or `test/<class>/*.jpg`
    where the labels of the test set are known."""

    classes: tuple[str, ...]

    def read_train(self, raw: Path) -> "pd.DataFrame":
        """id (the path below `raw` without suffix), path, label, in the order of the paths. Raises UserError, also for
        two files that share an id."""
        from common.folders import class_folders

        if (Path(raw) / "train").is_dir():
            return self._labelled(Path(raw), "train")
        return class_folders(Path(raw), self.classes, SUFFIXES, siblings=False)

    def read_test(self, raw: Path) -> "pd.DataFrame":
        """id, path and, where a folder in `test` is called like a class, label; no rows without `test`. Raises
        UserError, also for a link to a training image."""
        import pandas as pd

        from common.folders import images_below

        raw = Path(raw).absolute()
        if any((raw / "test" / name).is_dir() for name in self.classes):
            test = self._labelled(raw, "test", complete=False)
        else:
            test = pd.DataFrame(images_below(raw, "test", SUFFIXES, siblings=False), columns=["id", "path"])
        if len(test):
            check_apart(self.read_train(raw)["path"], test["path"], raw)
        return test

    def _labelled(self, raw: Path, part: str, complete: bool = True) -> "pd.DataFrame":
        from common.folders import class_folders

        table = class_folders(raw / part, self.classes, SUFFIXES, complete, siblings=False)
        return table.assign(id=f"{part}/" + table["id"])  # a test image may be called like a training image


@dataclass(frozen=True)
class LabelTable:
    """`train.csv` with one row an image, and perhaps `test.csv`, with labels where those are known.

    `path` names the column of image files (below the folder, or absolute), `label` that of the classes, by name or by
    number from 0; with `several`, classes separated by blanks. `group` names a column whose rows of one value never lie
    on two sides of a split; empty: every image is its own group.
    """

    classes: tuple[str, ...]
    path: str = "path"
    label: str = "label"
    group: str = ""
    several: bool = False
    train: str = "train.csv"
    test: str = "test.csv"

    def read_train(self, raw: Path) -> "pd.DataFrame":
        """id (the path as the table has it), path, label, and group where there is one, in the table's order. Raises
        UserError."""
        columns = [self.label, self.group] if self.group else [self.label]
        return self._read(Path(raw), self.train, columns)

    def read_test(self, raw: Path) -> "pd.DataFrame":
        """id, path and, where the table has that column, label; no rows where there is no table. Raises UserError, also
        for an image of the training table."""
        import pandas as pd

        from common.tables import read_header

        file = Path(raw) / self.test
        if not file.is_file():
            return pd.DataFrame(columns=["id", "path"])
        test = self._read(Path(raw), self.test, [self.label] if self.label in read_header(file, self.test) else [])
        check_apart(self.read_train(raw)["path"], test["path"], raw)
        return test

    def _read(self, raw: Path, name: str, columns: Sequence[str]) -> "pd.DataFrame":
        """One table: its paths and those of `columns` that a competition's table has."""
        import pandas as pd

        from common.tables import class_labels, names_a_path, read_csv

        file, folder = raw / name, raw.absolute()
        layout = f"{name} with the columns {listing([self.path, *columns])}"
        table = read_csv(file, [self.path, *columns], self.path, layout, text=columns, names=names_a_path)
        result = pd.DataFrame({"id": table[self.path], "path": [str(folder / path) for path in table[self.path]]})
        repeated = result["path"].map(os.path.normpath).duplicated(keep=False)
        if repeated.any():
            twins = listing(table[self.path][repeated])
            raise UserError(f"{file}: '{self.path}' {twins} name the same image more than once; keep one row an image")
        if self.label in columns:
            result["label"] = class_labels(table, self.label, self.classes, self.several, self.path, file)
        if self.group in columns:
            result["group"] = table[self.group]
            if blank := [i + 2 for i, group in enumerate(table[self.group]) if not group]:
                raise UserError(f"{file}: '{self.group}' is blank in line {listing(blank)}; every row needs a group")
        return result


def check_apart(train: Iterable[str], test: Iterable[str], raw: Path) -> None:
    """Raises UserError where a file of the test set is a training image, by another path or a link too: a network that
    has seen an image tells nothing by knowing it again."""
    known = {os.path.realpath(path) for path in train}
    if both := [path for path in test if os.path.realpath(path) in known]:
        named = listing((os.path.relpath(path, Path(raw).absolute()) for path in both), 5)
        raise UserError(f"{raw}: {named} are in the training set and in the test set; take them out of one")
