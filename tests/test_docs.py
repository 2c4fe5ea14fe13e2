"""The READMEs say what the code does: a gate, setting, verdict, command or exit code without a line is red.

``LOCKGATE_REGENERATE=1`` writes the tables anew. The transcript of the demo is held true by the story that
runs it, the table of template variables by the tests of the renderer. What prose claims is for review.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from gates import registry
from gates.contract import Status
from pipelines import cli, errors
from tests import docs

README = docs.ROOT / "README.md"
GATES = docs.ROOT / "gates" / "README.md"
PAGES = [
    path
    for path in docs.ROOT.rglob("*.md")
    if not {".venv", ".lockgate", "node_modules"} & set(path.relative_to(docs.ROOT).parts)
    and path.name != "PULL_REQUEST_TEMPLATE.md"
]


def page(path: Path) -> str:
    """Text of a page."""
    return path.read_text("utf-8")


def name(path: Path) -> str:
    """A page's path below the checkout, as a test's id."""
    return path.relative_to(docs.ROOT).as_posix()


# --------------------------------------------------------------------------- gates


@pytest.mark.parametrize("gate", registry.GATES)
def test_the_settings_of_a_gate_are_in_its_table(gate: str) -> None:
    """Every key with its default, its bounds and what it means, and no key that is gone."""
    wanted = docs.settings_table(gate)

    assert docs.kept(GATES, f"settings {gate}", wanted) == wanted, docs.HOW


@pytest.mark.parametrize("gate", registry.GATES)
def test_every_setting_says_what_it_means(gate: str) -> None:
    """A docstring below the field."""
    shape = registry.gate_class(gate).Settings
    silent = set(shape.__dataclass_fields__) - set(docs.field_docs(shape))

    assert silent == set()


@pytest.mark.parametrize("gate", registry.GATES)
def test_the_verdicts_of_a_gate_are_in_its_table(gate: str) -> None:
    """Every situation with its verdict and reason, as the gate's docstring or table of rules has it."""
    wanted = docs.verdict_table(gate)

    assert docs.kept(GATES, f"verdicts {gate}", wanted) == wanted, docs.HOW
    assert {row.split(" | ")[-2] for row in wanted.splitlines()[2:]} <= {status.name for status in Status}


def test_the_reasons_of_counting_are_in_their_table() -> None:
    """Every way in which an arm cannot be counted."""
    wanted = docs.gap_table()

    assert docs.kept(GATES, "gaps", wanted) == wanted, docs.HOW


@pytest.mark.parametrize("gate", registry.GATES)
def test_no_gate_gives_a_reason_that_its_table_lacks(gate: str) -> None:
    """Read from the source, so that a new verdict without a line is seen."""
    there = set(re.findall("`([a-z_]+)`", docs.verdict_table(gate)))

    assert docs.reasons(docs.gate_source(gate)) - there == set()


def test_a_reason_without_a_line_is_found() -> None:
    """However it is given."""
    planted = (
        "a = Finding(Status.FAIL, 'brand_new', 'x')\n"
        "b = Verdict(reason='also_new')\n"
        "c = _fail('newer_still', f'x')\n"
    )

    assert docs.reasons(planted) == {"brand_new", "also_new", "newer_still"}


def test_a_page_without_markers_is_refused() -> None:
    """A table cannot be lost by losing its place."""
    with pytest.raises(AssertionError, match="no markers settings slo"):
        docs.between("nothing", "settings slo")


# ------------------------------------------------------------------ the command line


def command_of(name: str) -> click.Command:
    """The command of that name."""
    found = cli.lockgate.get_command(click.Context(cli.lockgate), name)
    assert found is not None
    return found


def below(name: str) -> dict[str, click.Command]:
    """What is typed to reach a command -> the command; a group with no usage of its own: those in it."""
    found = command_of(name)
    usage = found.collect_usage_pieces(click.Context(found))
    if isinstance(found, click.Group) and "COMMAND [ARGS]..." in usage:
        return {f"{name} {inner}": command for inner, command in found.commands.items()}
    return {name: found}


def needed(command: click.Command) -> list[str]:
    """The options that have to be given, as they are typed."""
    context = click.Context(command)
    options = [one for one in command.params if isinstance(one, click.Option) and one.required]
    return [f"{one.opts[0]} {one.make_metavar(context)}" for one in options]


def command_table() -> str:
    """Every command as it is typed, and what it does."""
    rows = []
    for one in cli.COMMANDS:
        for words, command in below(one).items():
            pieces = command.collect_usage_pieces(click.Context(command, info_name=one))
            typed = " ".join([words, *(piece for piece in pieces if piece != "[OPTIONS]"), *needed(command)])
            line = cli.COMMANDS[one][1] if words == one else (command.help or "").partition("\n\n")[0]
            rows.append((f"`lockgate {typed}`", " ".join(line.split())))
    return docs.table(("command", "what it does"), rows)


def test_every_command_is_in_the_readme() -> None:
    """As --help shows it."""
    wanted = command_table()

    assert docs.kept(README, "commands", wanted) == wanted, docs.HOW


def test_every_exit_code_is_in_the_readme() -> None:
    """Those of the error tree, and done."""
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page(README), flags=re.MULTILINE)}
    tree = {
        one.exit_code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.LockgateError) and one is not errors.LockgateError
    }

    assert codes == tree | {0}


@dataclass(frozen=True, slots=True)
class Typed:
    """One command that a page tells people to type."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def typed(path: Path) -> list[Typed]:
    """Every lockgate and make command of a page, in fences and in code spans."""
    text = re.sub(r"<!-- transcript -->.*?<!-- /transcript -->", "", page(path), flags=re.DOTALL)
    text = re.sub(r"\\\n\s*", "", text)
    fenced = re.findall(r"^(?:\$ )?((?:lockgate|make) .*?)(?: +#.*)?$", text, flags=re.MULTILINE)
    spans = re.findall(r"`((?:lockgate|make) [^`\n]+)`", text)
    return [Typed(name(path), tuple(shlex.split(one))) for one in [*fenced, *spans]]


TYPED = [one for path in PAGES for one in typed(path)]


def problem(one: Typed) -> str:
    """Why a typed command cannot be typed; "" when it can."""
    words = [word for word in one.words[1:] if word not in {"…", "..."}]
    if one.words[0] == "make":
        targets = re.findall("^([a-z-]+):", page(docs.ROOT / "Makefile"), flags=re.MULTILINE)
        return "" if words[0] in targets else f"there is no target {words[0]}"
    known = {option for param in cli.lockgate.params for option in param.opts}
    while words and words[0].startswith("-"):
        if words[0] not in {*known, "--help", "-h"}:
            return f"lockgate has no option {words[0]}"
        words = words[1:] if words[0] in {"--json", "--verbose", "--version", "--help", "-h"} else words[2:]
    if not words:
        return ""
    if words[0] not in cli.COMMANDS:
        return f"there is no command {words[0]}"
    inner = below(words[0])
    if words[0] not in inner and " ".join(words[:2]) not in inner:
        return f"there is no command {' '.join(words[:2])}"
    command = inner.get(" ".join(words[:2])) or inner[words[0]]
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    wrong = [word for word in words[1:] if word.startswith("-") and word not in {*options, "--help", "-h"}]
    said = next(words for words, one in inner.items() if one is command)
    return f"{said} has no option {wrong[0]}" if wrong else ""


@pytest.mark.parametrize("one", TYPED, ids=str)
def test_what_a_page_tells_to_type_can_be_typed(one: Typed) -> None:
    """Commands, options and make targets exist."""
    assert problem(one) == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("make dmeo", "there is no target dmeo"),
        ("lockgate promot fraud-scorer", "there is no command promot"),
        ("lockgate plan fraud-scorer --too prod", "plan has no option --too"),
        ("lockgate --jsn plan fraud-scorer", "lockgate has no option --jsn"),
        ("lockgate workflow lnit", "there is no command workflow lnit"),
        ("lockgate workflow lint --too", "workflow lint has no option --too"),
    ],
)
def test_what_cannot_be_typed_is_found(line: str, said: str) -> None:
    """Each for its reason."""
    assert problem(Typed("README.md", tuple(shlex.split(line)))) == said


def lockgate(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder, with an environment of its own."""
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(docs.ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_the_first_steps_of_the_readme_work(tmp_path: Path) -> None:
    """Start a repository, check it, look at a plan: nothing else is needed for that."""
    started = lockgate("init", "models", folder=tmp_path)
    linted = lockgate("lint", "models", folder=tmp_path)
    planned = lockgate("--repo", "models", "plan", "fraud-scorer", "--to", "prod", folder=tmp_path)

    assert (started.returncode, linted.returncode, planned.returncode) == (0, 0, 0), (
        started.stderr + linted.stderr
    )
    assert "shift-10" in planned.stdout


# ------------------------------------------------------------------------- all pages


def links(path: Path) -> list[str]:
    """Where a page's links go, without those that leave the checkout."""
    return [
        target
        for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", page(path))
        if not re.match(r"[a-z]+:", target)
    ]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    """To a file of the checkout, and to a heading of it."""
    for target in links(path):
        file, _, heading = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        if heading:
            headings = re.findall("^#+ (.*)$", page(there), flags=re.MULTILINE)
            assert heading in [re.sub("[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings]


def test_the_places_of_the_readme_exist() -> None:
    """The table of where things are names files and folders that are there."""
    section = page(README).split("\n## Where things are\n", 1)[1].split("\n## ")[0]
    places = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)

    assert places
    assert [place for place in places if not (docs.ROOT / place).exists()] == []


def test_the_transcript_has_its_place() -> None:
    """The story that runs the demo writes there."""
    docs.between(page(README), "transcript")


def test_every_folder_of_the_readme_has_its_own() -> None:
    """A room is explained where it is."""
    rooms = ("gates", "pipelines", "templates", "gitops-repo", "tests")

    assert [room for room in rooms if not (docs.ROOT / room / "README.md").is_file()] == []
