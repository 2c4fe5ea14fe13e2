"""Planted mistakes and what is said of them: by our lint, and by the real ``argo lint --offline``.

    python -m tests.pipelines.workflow.argo_lint            prints the table
    LOCKGATE_REGENERATE=1 python -m tests.pipelines.workflow.argo_lint    asks the real one anew

The real one is the program in LOCKGATE_ARGO_CLI, else ``argo`` on the PATH. What it said is kept in
lint_cases_argo.yaml, in its own words without paths.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipelines.workflow.lint import Finding, lint
from tests import docs

HERE = Path(__file__).parent
VALID = HERE / "valid"
ANSWERS = HERE / "lint_cases_argo.yaml"
VERSION = "4.0.2"
"""The version of Argo that gave the answers."""
ACCEPTED = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One mistake, planted into a valid file."""

    name: str
    file: str
    find: str
    write: str
    rule: str
    also: tuple[str, str] | None = None
    """A second replacement that the mistake needs."""
    why: str = ""
    """What happens to a mistake that the real lint accepts."""

    @property
    def text(self) -> str:
        """The file with the mistake in it."""
        text = _once((VALID / self.file).read_text("utf-8"), self.find, self.write)
        return _once(text, *self.also) if self.also else text

    def findings(self) -> list[Finding]:
        """What our lint says."""
        return list(lint({self.file: self.text}).findings)


def _once(text: str, find: str, write: str) -> str:
    if text.count(find) != 1:
        raise AssertionError(f"{find!r} stands {text.count(find)} times")
    return text.replace(find, write)


@functools.cache
def cases() -> tuple[Case, ...]:
    """Every planted mistake."""
    return tuple(Case(**one) for one in yaml.safe_load((HERE / "lint_cases.yaml").read_text("utf-8")))


@functools.cache
def answers() -> dict[str, str]:
    """Case -> what the real lint said; "" where it accepted."""
    read: dict[str, str] = yaml.safe_load(ANSWERS.read_text("utf-8"))
    return read


def argo() -> str | None:
    """The real program, if there is one."""
    return os.environ.get("LOCKGATE_ARGO_CLI") or shutil.which("argo")


def ask(program: str, text: str) -> str:
    """What the real lint says of a file; "" when it accepts it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "case.yaml").write_text(text, "utf-8")
        words = [program, "lint", "--offline", "--no-color", "case.yaml"]
        own = {"PATH": os.environ["PATH"], "HOME": folder}  # ARGO_* variables would send it elsewhere
        done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    if done.returncode == 0:
        return ACCEPTED
    found = re.search(r'✖ in ("[^"]*" \(\w+\): .*)|(?:Error: |✖ )(.*)', said)
    assert found is not None, said
    return (found[1] or found[2]).replace("case.yaml", "").strip()


def table() -> str:
    """What each says, as Markdown."""
    return docs.table(("mistake", "our rule", "argo lint", "where it accepts"), map(_row, cases()))


def _row(case: Case) -> tuple[str, ...]:
    said = answers()[case.name].partition("): ")[2] or answers()[case.name]
    shown = said if len(said) <= 100 else f"{said[:99]}…"
    return case.name, f"`{case.rule}`", f"`{shown}`" if said else "accepts", case.why


def main() -> None:
    """Print the table; ask the real lint first where that is wanted."""
    program = argo()
    if os.environ.get("LOCKGATE_REGENERATE") and program:
        said = {case.name: ask(program, case.text) for case in cases()}
        head = f'# What argo lint --offline {VERSION} says of each case; "" where it accepts it.\n'
        ANSWERS.write_text(
            head + yaml.safe_dump(said, sort_keys=False, width=110, allow_unicode=True), "utf-8"
        )
        answers.cache_clear()
    print(table())


if __name__ == "__main__":
    main()
