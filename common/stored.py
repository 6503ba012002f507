"""Tables that we write for ourselves: Parquet files that any reader takes, and that say whether they are whole; and
arrays, read without running code."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow

from common.errors import UserError
from common.files import damaged, write_atomically

DIGEST = "sha256"
"""The name of the digest in the file's metadata."""


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all, without its index. Raises UserError: see `write_atomically`."""
    marked = table.copy(deep=False)
    marked.attrs = {DIGEST: digest_of(table)}
    write_atomically(path, lambda temporary: marked.to_parquet(temporary, index=False))


def read_table(path: Path) -> pd.DataFrame:
    """What `write_table` was given. A file without digest, as an earlier version wrote it, is taken as it is.

    Raises:
        UserError: its bytes are not those that were written, or there is none.
    """
    try:
        table = pd.read_parquet(path)
        whole = table.attrs.pop(DIGEST, None) in (None, digest_of(table))
    except FileNotFoundError:
        raise damaged(path, "is not there") from None
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise damaged(path) from error
    if not whole:
        raise damaged(path)
    return table


def read_array(path: Path) -> np.ndarray:
    """The array of an .npy file. Raises UserError where it is none, or holds Python objects: reading them runs code."""
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no array of ours ({error}): remove it, and it is made again") from error


def digest_of(table: pd.DataFrame) -> str:
    """Over the names and the values of the columns, in order."""
    digest = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    for name in table.columns:
        digest.update(pd.util.hash_pandas_object(table[name], index=False).to_numpy())
    return digest.hexdigest()
