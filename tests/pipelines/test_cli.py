"""The command line itself: what it loads, how it speaks, which exit code a mistake gets.

Covered: the help loads nothing heavy, names of commands and options that are near, errors as exit codes,
JSON on stdout alone, masked secrets, values that would act on a terminal, who is asking.
Left out: what each command does (test_cli_files, test_cli_shared, test_cli_whole).
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import errors
from pipelines.cli import COMMANDS, lockgate
from pipelines.cli.session import one_line, plain
from tests.commands import Shell

HEAVY = {"pydantic", "requests", "numpy", "scipy", "github", "pysnow", "jinja2", "flask", "rich", "structlog"}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell of somebody who has nothing set up."""
    return Shell({"HOME": str(tmp_path), "LOCKGATE_STATE_DIR": str(tmp_path / "state")})


def python(code: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False,
        env=environment, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_the_help_loads_none_of_the_heavy_libraries() -> None:
    """Asking for help pays for click alone."""
    code = (
        "import sys, json\nfrom pipelines.cli import run\nrun(['--help'])\n"
        "print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)), file=sys.stderr)"
    )
    done = python(code)

    assert "Commands:" in done.stdout
    assert not HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


def test_completion_of_a_command_loads_none_either() -> None:
    """Every press of the tab key is such a process."""
    code = (
        "import sys, atexit, json\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from pipelines.cli import run\nrun([])"
    )
    words = {"COMP_WORDS": "lockgate ro", "COMP_CWORD": "1", "_LOCKGATE_COMPLETE": "bash_complete"}
    done = python(code, **words)

    assert "plain,rollback" in done.stdout
    assert not HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


def test_every_command_is_there_and_says_in_its_help_what_the_table_says() -> None:
    """The table that the help is drawn from cannot drift from the commands; each takes the common options."""
    for name, (module, line) in COMMANDS.items():
        if name == "rehearse" and not _exists("pipelines.cli.rehearsing"):
            continue
        command = getattr(importlib.import_module(f"pipelines.cli.{module}"), name)
        assert isinstance(command, click.Command), name
        assert (
            (command.help or "")
            .split("\n\n")[0]
            .replace("\n", " ")
            .rstrip(".:")
            .startswith(line.rstrip(".").split(":")[0].split(",")[0])
        ), name
        if name != "rehearse":
            assert {"repo", "state_dir", "as_json", "verbose"} <= {one.name for one in command.params}, name
    assert list(COMMANDS) == lockgate.list_commands(click.Context(lockgate))


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "rehearse"])
def test_every_command_has_help(shell: Shell, name: str) -> None:
    """And asking for it is no error."""
    ran = shell(name, "--help")

    assert ran.code == 0
    assert ran.out.startswith("Usage: lockgate")


def test_a_mistyped_command_names_the_near_one(shell: Shell) -> None:
    """With the parser's exit code, and the hint on a line of its own."""
    ran = shell("statsu")

    assert ran.code == 2
    assert "error: there is no command statsu\n\nhint: did you mean `status`?\n" in ran.err
    assert ran.out == ""


def test_a_word_like_no_command_is_sent_to_the_help(shell: Shell) -> None:
    """Where nothing is near, the help is."""
    assert "hint: `lockgate --help` shows what there is" in shell("xyzzy").err


def test_a_mistyped_option_names_the_near_one(shell: Shell) -> None:
    """The parser's words, ours the hint."""
    ran = shell("promote", "fraud-scorer", "--resaon", "x")

    assert ran.code == 2
    assert "hint: did you mean `--reason`?" in ran.err
    assert "Usage: lockgate promote" in ran.err


def test_a_missing_word_points_to_the_help(shell: Shell) -> None:
    """Of that very command."""
    assert "hint: `lockgate why --help` shows what there is" in shell("why", "fraud-scorer").err


def test_outside_of_a_checkout_it_says_how_to_name_the_repository(shell: Shell, tmp_path: Path) -> None:
    """Nothing is asked of any server; exit code 3."""
    ran = shell("--repo", tmp_path, "status")

    assert ran.code == 3
    assert "is no git checkout" in ran.err
    assert "hint: name the GitOps repository: --repo PATH|URL, or set LOCKGATE_REPO" in ran.err


def test_a_folder_that_is_not_there(shell: Shell) -> None:
    """A wrong path is a mistake, not an outage."""
    ran = shell("--repo", "/nowhere", "status")

    assert ran.code == 3
    assert "there is no folder /nowhere" in ran.err


def test_a_repository_that_cannot_be_reached_is_no_answer(shell: Shell, tmp_path: Path) -> None:
    """Exit code 5, and neither a yes nor a no."""
    ran = shell("--repo", (tmp_path / "gone.git").as_uri(), "history")

    assert ran.code == 5
    assert ran.err.startswith("error: git: ")
    assert ran.out == ""


def test_errors_are_data_where_data_is_asked_for(shell: Shell, tmp_path: Path) -> None:
    """With --json stdout holds one document, also when it failed; people read stderr."""
    ran = shell("--json", "--repo", tmp_path, "status")

    assert ran.code == 3
    assert ran.json["schema"] == "lockgate.error/1"
    assert ran.json["error"] == "InvalidInput"
    assert ran.json["exit_code"] == 3
    assert "LOCKGATE_REPO" in ran.json["problems"][0]["hint"]
    assert "is no git checkout" in ran.err


def test_the_options_stand_before_or_after_the_command(shell: Shell, tmp_path: Path) -> None:
    """Whichever place a person thinks of."""
    before, after = (
        shell("--json", "--repo", tmp_path, "status"),
        shell("status", "--repo", tmp_path, "--json"),
    )

    assert before == after


def test_a_fault_of_ours_is_one_sentence(shell: Shell, tmp_path: Path) -> None:
    """Exit code 1; the traceback only for --verbose."""
    (tmp_path / "state").write_text("a file where a folder belongs")
    address = (tmp_path / "x.git").as_uri()

    short, long = shell("--repo", address, "status"), shell("--repo", address, "--verbose", "status")
    assert short.code == long.code == 1
    assert "error: unexpected " in short.err
    assert "hint: run it again with --verbose" in short.err
    assert "Traceback" not in short.err
    assert "Traceback" in long.err
    assert shell("--repo", address, "status", "--json").json["exit_code"] == 1


def test_the_git_token_is_masked_wherever_it_would_show(shell: Shell, tmp_path: Path) -> None:
    """Even when somebody put it into a path."""
    ran = shell("--json", "--repo", "/nowhere/s3cr3t-t0ken", "status", LOCKGATE_GIT_TOKEN="s3cr3t-t0ken")

    assert "s3cr3t" not in ran.out + ran.err
    assert "********" in ran.err


def test_what_acts_on_a_terminal_comes_out_as_nothing(shell: Shell) -> None:
    """Escapes, bells and marks of direction in a value are dropped before it is printed."""
    ran = shell("--repo", "/no\x1b[31mwhere\x07\u202e", "status")

    assert "/nowhere" in ran.err
    assert not {"\x1b", "\x07", "\u202e"} & set(ran.err)


@given(text=st.text())
def test_no_text_acts_on_a_terminal(text: str) -> None:
    """Whatever somebody writes: no control character but the end of a line, and none at all in a cell."""
    for cleaned, allowed in ((plain(text), "\n"), (one_line(text), "")):
        odd = [one for one in cleaned if (ord(one) < 32 or 127 <= ord(one) < 160) and one not in allowed]
        assert not odd


def test_every_error_has_its_own_exit_code() -> None:
    """What scripts branch on is what errors.py draws."""
    codes = {
        errors.InvalidInput: 3, errors.Refused: 4, errors.CouldNotTell: 5, errors.NotYet: 75,
        errors.JournalMoved: 75, errors.JournalBroken: 5, errors.SpecInvalid: 3, errors.Unreachable: 5,
    }  # fmt: skip
    assert {kind: kind.exit_code for kind in codes} == codes


@pytest.mark.parametrize(
    ("variables", "words", "says"),
    [
        ({}, (), "nobody knows who you are"),
        ({"LOCKGATE_PERSON": "two words"}, (), "'two words' is no login"),
        ({"LOCKGATE_PERSON": "-x"}, (), "'-x' is no login"),
        ({"LOCKGATE_PERSON": "dana"}, ("--requested-by", "a\nb"), "'a b' is no login"),
    ],
)
def test_nobody_promotes_without_a_name(
    shell: Shell, tmp_path: Path, variables: dict[str, str], words: tuple[str, ...], says: str
) -> None:
    """Who asked is part of the record, so a name that cannot be one is refused before anything is done."""
    words = ("promote", "fraud-scorer", "--reason", "x", *words)
    ran = shell("--repo", tmp_path.as_uri(), *words, GIT_CONFIG_GLOBAL="/dev/null", **variables)

    assert ran.code == 3
    assert says in ran.err
    assert "or set LOCKGATE_PERSON" in ran.err
