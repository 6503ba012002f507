"""One page, one file: jinja2 templates with style, script, charts and pictures inside."""

import base64
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup

from common.errors import UserError
from common.files import content_hash, damaged, read_json, write_text

HERE = Path(__file__).parent
Kept = TypeVar("Kept")
MADE_OF = re.compile(r'<meta name="made-of" content="(\w+)">')


@cache
def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"cell": cell, "setting": setting, "embedded": embedded, "counted": counted}
    return made


def render(template: str, **values: Any) -> Markup:
    return Markup(environment().get_template(template).render(**values))


def made_of(*values: Any, files: Iterable[Path] = ()) -> str:
    """12 hex digits of all that a page is made of: plain values, files by size and time, and what makes the page."""
    of_files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return content_hash([values, of_files, _makers()])


@cache
def _makers() -> str:
    files = [file for pattern in ("*.py", "templates/*") for file in sorted(HERE.glob(pattern))]
    return content_hash([file.read_text(encoding="utf-8") for file in files])


def whole(file: Path, read: Callable[[Path], Kept]) -> Kept:
    """What `read` makes of a file of ours without a checksum. Raises UserError where it is cut, or no such table."""
    try:
        return read(file)
    except (ValueError, KeyError) as error:
        raise damaged(file) from error


def beside(file: Path) -> Any:
    """What a page left beside itself as JSON. Raises UserError where it is cut."""
    try:
        return read_json(file)
    except ValueError as error:
        raise UserError(f"{file} is damaged; remove the folder {file.parent}: its pages are then made again") from error


def up_to_date(path: Path, stamp: str) -> bool:
    """Whether the page at `path` was made of the same."""
    if not path.is_file():
        return False
    with open(path, encoding="utf-8") as file:
        found = MADE_OF.search(file.read(1000))
    return bool(found) and found[1] == stamp


def write_page(path: Path, template: str, stamp: str, **values: Any) -> None:
    """Raises UserError where the file cannot be written."""
    write_text(path, render(template, stamp=stamp, **values))


def embedded(value: Any) -> Markup:
    """JSON for a <script> of the page; no text in it can end the script."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))


def cell(value: Any) -> str:
    """A value as a table shows it: numbers to four digits, nothing for what is not known."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)


def counted(count: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def setting(value: Any) -> str:
    """The value of a recipe's field."""
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else cell(value) or "none"


def picture(image, side: int | None = None, quality: int = 80) -> str:
    """uint8 (H, W, C) as a data address, a JPEG whose longer side is `side` pixels at most; of more than three channels
    the first three are shown as RGB, one is shown as grey."""
    import cv2
    import numpy as np

    shown = image[..., np.arange(3) % image.shape[2]]
    if side and max(shown.shape[:2]) > side:
        scale = side / max(shown.shape[:2])
        shown = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()


def once(path: Path, stamp: str, make: Callable[[], Any]) -> bool:
    """Make the page unless it would come out the same; whether it was made."""
    if up_to_date(path, stamp):
        return False
    make()
    return True
