"""The one way values meet templates: a sandbox, strict about what is missing, whose filters keep them data.

No value is ever template source, and none is written without a filter: ``json`` for YAML, ``code`` and
``cell`` for Markdown, ``fence`` and ``summary`` for its blocks, ``fold`` and ``quote`` for plain text.
"""

from __future__ import annotations

import functools
import html
import importlib.resources
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

MAX_CHARACTERS = 500
"""Longest value written into a text for people; the rest is cut and marked with an ellipsis."""
NOTHING = "–"

_PACKAGE = Path(str(importlib.resources.files("pipelines")))
_CHECKOUT = Path(__file__).resolve().parents[2] / "templates"


def templates_folder(package: Path = _PACKAGE) -> Path:
    """Where the templates are: inside an installed wheel's package, or at the top of a checkout."""
    packaged = package / "data" / "templates"
    return packaged if packaged.is_dir() else _CHECKOUT


def environment(folder: Path) -> SandboxedEnvironment:
    """A Jinja environment over a folder of templates, with this module's filters."""
    jinja = SandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # the output is YAML, Markdown and plain text: the filters see to that
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    jinja.globals.clear()  # a forgotten value is an error, never Jinja's function of that name
    jinja.filters.update(json=to_json, code=code, cell=cell, fold=fold, quote=quote)
    jinja.filters.update(fence=fence, summary=summary)
    return jinja


@functools.cache
def _shared() -> SandboxedEnvironment:
    return environment(templates_folder())


def fill(template: str, **values: Any) -> str:
    """Render one template of the folder.

    Raises:
        jinja2.UndefinedError: the template asks for a value that was not given: a mistake of ours.
    """
    return _shared().get_template(template).render(values)


def to_json(value: str | int) -> str:
    """A value as a YAML scalar in ASCII: JSON, with YAML's longer escape beyond the basic plane.

    JSON writes such characters as two surrogates, which YAML readers do not join again.

    Raises:
        UnicodeEncodeError: the text holds half of a surrogate pair, which no file can carry.
    """
    if isinstance(value, str):
        value.encode()
    written = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[^ -~]", _escaped, written)


def _escaped(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def fold(value: object, at_most: int = MAX_CHARACTERS) -> str:
    """One line of plain text: white space folded, what cannot be seen dropped, length bounded.

    ServiceNow draws what stands between ``[code]`` marks as HTML: these marks lose their brackets.
    """
    text = str(value)
    kept = (letter for letter in text if letter.isspace() or not unicodedata.category(letter).startswith("C"))
    seen = " ".join("".join(kept).split())
    plain = re.sub(r"\[\s*(/?)\s*code\s*\]", r"(\1code)", seen, flags=re.IGNORECASE)
    short = plain if len(plain) <= at_most else plain[: at_most - 1] + "…"
    return short or NOTHING


def quote(value: object, at_most: int = MAX_CHARACTERS) -> str:
    """Like :func:`fold`, between quotation marks that the text itself cannot close."""
    return '"' + re.sub(r'["“”„]', "'", fold(value, at_most)) + '"'


def code(value: object) -> str:
    """A Markdown code span: inside, nothing is a link, a mention, a closing word, HTML or a picture."""
    text = fold(value)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def cell(value: object) -> str:
    """A code span for a cell of a table, where a bar would begin the next cell."""
    return code(str(value).replace("|", "¦"))


def summary(value: object) -> str:
    """Code in HTML, for the one line of a block that opens: GitHub links no mention and no number in it."""
    return f"<code>{html.escape(fold(value))}</code>"


def fence(text: str, kind: str, at_most: int) -> str:
    """A fenced block of Markdown that its text cannot close; what cannot be seen in it is spelt out.

    Whole lines are kept, as many as have ``at_most`` characters; the last one counts those left out.
    """
    kept = text if len(text) <= at_most else text[: at_most + 1].rpartition("\n")[0]
    left = (text[len(kept) :] if kept else f"\n{text}").count("\n")
    shown = [_spelt(kept)] if kept else []
    if left:
        shown.append(f"… {left} more line{'s' if left != 1 else ''}")
    mark = "`" * max(3, 1 + max(map(len, re.findall("`+", kept)), default=0))
    return "\n".join([mark + kind, *shown, mark])


def _spelt(text: str) -> str:
    """Letters that nobody sees, or that move the ones beside them, as their code points."""
    return re.sub(r"[^\t\n -~]", _seen, text)


def _seen(match: re.Match[str]) -> str:
    letter = match[0]
    hidden = unicodedata.category(letter)[0] == "C" or unicodedata.category(letter) in ("Zl", "Zp")
    return f"\\u{{{ord(letter):x}}}" if hidden else letter
