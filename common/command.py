"""What every command line here shares: words become a dataclass, a mistake becomes one line and exit code 2."""

import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from typing import TypeVar, get_type_hints

import tyro

from common.errors import UserError, closest, listing
from common.terminal import paint

T = TypeVar("T")
WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR), "mend its permissions"),
    errno.EMFILE: "raise the limit on open files",
    errno.ENAMETOOLONG: "choose a shorter one",
    errno.ENOMEM: "a smaller --batch-size, --input-size or fewer --workers take less",
}
"""What the system refuses, wherever it happens, and how a user mends it."""


def run(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """`main` with an exit code: 2 and one line for what a user can mend, 130 when interrupted."""
    open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without our dashes and quotes shows ? in their place
    try:
        main(arguments)
    except UserError as error:
        print(paint("error:", "red", sys.stderr), error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        if error.errno not in WAYS_OUT:
            raise
        where = f" ({listing([error.filename])})" if error.filename else ""
        way_out = WAYS_OUT[error.errno]
        told = f"{error.strerror}{where}; {way_out}: what was done is kept, and the same command continues"
        print(paint("error:", "red", sys.stderr), told, file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which nothing here imports
            raise
        told = "the GPU's memory ran out; a smaller --batch-size, --input-size or --backbone takes less"
        print(paint("error:", "red", sys.stderr), told, file=sys.stderr)
        return 2
    except UnicodeEncodeError as error:
        if error.reason != "surrogates not allowed":  # how Python holds bytes that it could not decode
            raise
        told = (
            f"the name of a file or folder is not in UTF-8: {str(error.object)[:500]!a}; rename it, or set PYTHONUTF8=1"
        )
        print(paint("error:", "red", sys.stderr), told, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return 130
    return 0


def open_what_is_closed() -> None:
    """Lead standard streams that the shell closed to nowhere: a file of ours would get their number otherwise, and what
    is meant for them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 (to the end)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 (to the end)


def parse(kind: type[T], words: list[str], program: str, default: T | None = None) -> T:
    """A dataclass from command-line words; `--help` prints and exits.

    Raises:
        UserError: tyro's complaint in one line.
    """
    known = dict(fields_of(kind))
    switches = {name for name, type_ in known.items() if type_ is bool}
    words = [part for word, following in pairwise([*words, ""]) for part in spelled_out(word, following, switches)]
    complaint = io.StringIO()
    settings = (tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes)
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=words, prog=program, default=default, config=settings)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(one_line(complaint.getvalue(), known)) from None


def fields_of(kind: type) -> Iterator[tuple[str, type]]:
    """Name and type of every field of a dataclass, those of nested ones in their place: what its words may name."""
    for name, type_ in get_type_hints(kind).items():
        if is_dataclass(type_):
            yield from fields_of(type_)
        else:
            yield name, type_


def spelled_out(word: str, following: str, switches: Container[str]) -> list[str]:
    """A switch alone, `--again`, means `--again True`."""
    alone = word.removeprefix("--").replace("-", "_") in switches and following.lower() not in ("true", "false")
    return [word, "True"] if word.startswith("--") and alone else [word]


def one_line(box: str, known: Iterable[str]) -> str:
    """The first part of tyro's box, below its title and without its frame, which is drawn in lines or in dashes."""
    lines = [line.strip(" │|") for line in box.splitlines()]
    parts: list[list[str]] = [[]]
    for line in filter(None, lines):
        if line.startswith(("╭", "╰")) or set(line) <= set("─-"):
            parts.append([])
        else:
            parts[-1].append(line)
    told = [" ".join(part) for part in parts if part]
    message = told[0] if "╭" in box else told[1]
    if unknown := re.match(r"Unrecognized options: ([^\s,=]+)", message):
        word = unknown.group(1)  # the first: what follows are its values, and perhaps other words
        hint = closest(word, [f"--{name.replace('_', '-')}" for name in known])
        message = f"there is no option {word}{hint}" if word.startswith("-") else f"'{word}' belongs to no option"
    return f"{message}; --help lists every field"


def verb_of(arguments: list[str], verbs: Collection[str], usage: str) -> str | None:
    """The first argument, or None where it asks for help, which is then printed. Raises UserError: no such verb."""
    verb = arguments[0] if arguments else "help"
    if verb in ("-h", "--help", "help"):
        print(usage)
        return None
    if verb not in verbs:
        raise UserError(f"no verb '{verb}'{closest(verb, verbs)}; there are {', '.join(verbs)}")
    return verb


def take(words: list[str], option: str) -> tuple[str, list[str]]:
    """The value of one option (empty where it is not given) and the other words."""
    for index, word in enumerate(words):
        if word.startswith(option + "="):
            return word.partition("=")[2], words[:index] + words[index + 1 :]
        if word == option:
            if index + 1 == len(words):
                raise UserError(f"{option} wants a value")
            return words[index + 1], words[:index] + words[index + 2 :]
    return "", words
