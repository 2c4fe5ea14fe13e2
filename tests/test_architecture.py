"""The house rules about who may import what, read a clock or run a command; each shown to refuse a breach.

Imports between our own modules are contracts of import-linter in pyproject.toml. What a contract cannot say
(one library in one place, clocks, shells, sizes) is read from the source here. Not covered: what a library
imports by itself, and names looked up at run time.
"""

from __future__ import annotations

import ast
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("gates", "pipelines")

LIBRARIES: dict[str, tuple[str, ...]] = {
    "click": ("pipelines/cli/",),
    "envoy": ("pipelines/rehearsal/envoy.py",),
    "flask": ("pipelines/rehearsal/",),
    "gevent": ("gates/load/worker/",),
    "github": ("pipelines/clients/github.py",),
    "hera": ("pipelines/workflow/templates/",),
    "jinja2": ("pipelines/render/", "pipelines/reports/"),
    "locust": ("gates/load/worker/",),
    "mlflow": ("pipelines/clients/registry.py",),
    "model_signing": ("gates/signature/signing.py",),
    "numpy": ("gates/canary/", "gates/evaluation/", "gates/golden/", "pipelines/rehearsal/"),
    "prometheus_api_client": ("pipelines/clients/prometheus.py",),
    "psutil": ("pipelines/rehearsal/",),
    "pyarrow": ("gates/golden/parquet.py",),
    "pydantic": ("pipelines/spec/", "pipelines/config.py"),
    "pydantic_core": ("pipelines/spec/",),
    "pysnow": ("pipelines/clients/servicenow/",),
    "requests": ("pipelines/clients/", "pipelines/rehearsal/"),
    "rich": ("pipelines/cli/", "pipelines/reports/", "pipelines/rehearsal/demo"),
    "scipy": ("gates/binomial.py", "gates/evaluation/"),
    "securesystemslib": ("pipelines/evidence/signing.py",),
    "sklearn": ("pipelines/rehearsal/training.py",),
    "subprocess": (
        "gates/load/",
        "pipelines/clients/git/",
        "pipelines/rehearsal/",
        "pipelines/workflow/running/processes.py",
    ),
    "urllib3": ("pipelines/clients/", "pipelines/rehearsal/"),
    "werkzeug": ("pipelines/rehearsal/",),
    "yaml": (
        "gates/policy/strict.py",
        "pipelines/spec/yaml.py",
        "pipelines/rehearsal/",
        "pipelines/workflow/templates/",
    ),
}
"""Library -> the only places that may import it."""

CLOCKS = {
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.sleep",
    "asyncio.sleep",
    "gevent.sleep",
}
TICKING = {
    "pipelines/wiring.py": "SystemClock, which everybody else asks",
    "pipelines/rehearsal/": "the world on loopback lives in real time",
    "gates/load/worker/": "a process of its own that sends requests on time",
    "pipelines/clients/git/cache.py": "waits, bounded, for another process to let go of the clone",
    "pipelines/clients/git/repository.py": "waits under a second before it pushes again",
}
"""Place -> why it may read a clock or sleep. Durations (``time.monotonic``) are no instants: free for all."""

SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}

LONGEST_FUNCTION_LINES = 60
LONGEST_MODULE_LINES = 500
MOCKS_PER_1000_TEST_LINES = 1.0


# ---------------------------------------------------------------- reading source


def sources(root: Path = ROOT, rooms: tuple[str, ...] = ROOMS) -> dict[str, str]:
    """Path below the checkout -> source, of every Python file of some rooms."""
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for room in rooms
        for path in sorted((root / room).rglob("*.py"))
    }


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of everything imported, wherever the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""


def names(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every attribute used, with what an import renamed put back."""
    tree = ast.parse(source)
    renamed: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            renamed |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                renamed[alias.asname or alias.name] = dotted
                yield node.lineno, dotted
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            yield node.lineno, f"{renamed.get(first, first)}.{rest}"


def misplaced_libraries(files: Mapping[str, str]) -> list[str]:
    """Imports of a library outside the places it belongs to."""
    return [
        f"{path}:{line} imports {module}, which belongs to {' and '.join(LIBRARIES[library])}"
        for path, source in files.items()
        for line, module in imports(source)
        if (library := module.partition(".")[0]) in LIBRARIES and not path.startswith(LIBRARIES[library])
    ]


def read_clocks(files: Mapping[str, str]) -> list[str]:
    """Uses of the wall clock, or of sleep, outside the places that may."""
    return [
        f"{path}:{line} uses {name}; take the instant from the caller, or a Clock"
        for path, source in files.items()
        if not path.startswith(tuple(TICKING))
        for line, name in names(source)
        if ".".join(name.split(".")[-2:]) in CLOCKS
    ]


def shells(files: Mapping[str, str]) -> list[str]:
    """Commands that a shell would read."""
    found = [
        f"{path}:{line} uses {name}: pass a list of arguments"
        for path, source in files.items()
        for line, name in names(source)
        if name in SHELLS
    ]
    for path, source in files.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                found.append(f"{path}:{node.value.lineno} passes shell=: pass a list of arguments")
    return found


def imports_of_tests(files: Mapping[str, str]) -> list[str]:
    """Imports of tests or of pytest by what is shipped."""
    return [
        f"{path}:{line} imports {module}"
        for path, source in files.items()
        for line, module in imports(source)
        if module.partition(".")[0] in {"tests", "pytest", "hypothesis"}
    ]


def foreign_roots(source: str) -> set[str]:
    """Packages outside the standard library and the package itself that a file imports."""
    roots = {module.partition(".")[0] for _, module in imports(source)}
    return roots - set(sys.stdlib_module_names) - set(ROOMS)


def function_lengths(files: Mapping[str, str]) -> dict[str, int]:
    """``path:name`` -> lines, without the docstring."""
    return {
        f"{path}:{node.lineno}:{node.name}": _lines(node)
        for path, source in files.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    whole = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None or len(node.body) == 1:
        return whole
    return whole - ((first.end_lineno or first.lineno) - first.lineno + 1)


def mocks(files: Mapping[str, str]) -> list[str]:
    """Places in tests that put something else in our code's place."""
    pattern = re.compile(
        r"\b(MagicMock|AsyncMock|Mock|mocker|create_autospec|patch)\(|monkeypatch\.setattr\("
    )
    return [
        f"{path}:{number}"
        for path, text in files.items()
        if not path.endswith("test_architecture.py")
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


# ------------------------------------------------------------- imports among ourselves


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's word on the packages below a folder."""
    script = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as c; c()"
    )
    command = [sys.executable, "-P", "-c", script, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100)


CONTRACTS = {
    "gates never import pipelines": ("gates/slo.py", "import pipelines.errors"),
    "gates in layers": ("gates/contract.py", "import gates.registry"),
    "pipelines in layers": ("pipelines/strategy.py", "import pipelines.decide"),
    "clients import errors and ports alone": ("pipelines/clients/github.py", "import pipelines.spec.types"),
    "clients are blind to one another": (
        "pipelines/clients/registry.py",
        "import pipelines.clients.artifacts",
    ),
    "only wiring makes clients": ("pipelines/engine.py", "import pipelines.clients.github"),
    "only the command line starts a rehearsal": (
        "pipelines/steps/merge.py",
        "import pipelines.rehearsal.world",
    ),
}
"""Contract -> a breach to plant: the file, and the line added to it."""


@pytest.fixture(scope="module")
def breached(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy in which every contract is breached once."""
    copy = tmp_path_factory.mktemp("breached")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, line in CONTRACTS.values():
        with (copy / file).open("a") as text:
            text.write(f"\n{line}\n")
    done = lint_imports(copy)

    assert done.returncode == 1, done.stderr
    return done.stdout


def test_every_contract_holds() -> None:
    """Our modules import one another as the house allows, and no contract goes without its breach below."""
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.removesuffix(" KEPT") for line in done.stdout.splitlines() if line.endswith(" KEPT")} == set(
        CONTRACTS
    )


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_contract_refuses_its_breach(breached: str, contract: str) -> None:
    """A planted import breaks the contract it should, and the report names it."""
    file, line = CONTRACTS[contract]
    importer = file.removesuffix(".py").replace("/", ".")

    assert f"{contract} BROKEN" in breached
    report = breached.split("Broken contracts", 1)[1].split(f"\n{contract}\n", 1)[1]
    assert importer in report.split("\n\n\n")[0] or importer in report
    assert line.removeprefix("import ") in report


def test_a_module_without_a_layer_is_refused(tmp_path: Path) -> None:
    """A new module has to take its place among the layers before anybody can import it."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "pipelines" / "utilities.py").write_text('"""Anything."""\n')
    done = lint_imports(tmp_path)

    assert done.returncode == 1
    assert "utilities" in done.stdout


# -------------------------------------------------------------------- libraries


def test_every_library_keeps_to_its_place() -> None:
    """One library, one place: a change of library touches one adapter."""
    assert misplaced_libraries(sources()) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_out_of_place_is_found(library: str) -> None:
    """Also inside a function, also a submodule, also under another name."""
    planted = {"pipelines/decide.py": f"def lazily():\n    import {library}.deep as other\n"}

    assert [line.split(" imports ")[0] for line in misplaced_libraries(planted)] == ["pipelines/decide.py:2"]


def test_the_place_of_a_library_exists() -> None:
    """The table names no place that is gone, so that it cannot rot."""
    places = {place for there in LIBRARIES.values() for place in there}
    gone = [place for place in places - {"pipelines/rehearsal/demo"} if not (ROOT / place).exists()]

    assert gone == []


def test_the_contract_of_a_gate_needs_the_standard_library_alone() -> None:
    """A third party's gate depends on one file of ours and on nothing else."""
    assert foreign_roots((ROOT / "gates/contract.py").read_text()) == set()
    assert foreign_roots("import yaml\nimport json\n") == {"yaml"}


# ------------------------------------------------------------- clocks and shells


def test_nobody_reads_a_clock_but_the_clock() -> None:
    """Gates and the pure core get every instant from their callers."""
    assert read_clocks(sources()) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from datetime import UTC, datetime\nat = datetime.now(UTC)\n",
        "import datetime as d\nat = d.datetime.now()\n",
        "import time\nat = time.time()\n",
        "import time as clock\nclock.sleep(1)\n",
        "from time import sleep\n",
        "from time import time as instant\n",
        "from datetime import date\nday = date.today()\n",
    ],
)
def test_a_clock_read_is_found(planted: str) -> None:
    """However it is spelled."""
    assert read_clocks({"gates/slo.py": planted})
    assert read_clocks({"pipelines/wiring.py": planted}) == []


def test_a_duration_is_no_clock_read() -> None:
    """A time-out may be measured."""
    assert read_clocks({"gates/slo.py": "import time\nbegan = time.monotonic()\n"}) == []


def test_the_places_that_may_read_a_clock_do() -> None:
    """An exception nobody uses is taken out of the table."""
    free = {
        place: read_clocks({f"x/{p}": s for p, s in sources().items() if p.startswith(place)})
        for place in TICKING
    }

    assert [place for place, uses in free.items() if not uses] == []


def test_no_shell_reads_a_command() -> None:
    """What people write into YAML never meets a shell."""
    assert shells(sources()) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import subprocess\nsubprocess.run('ls', shell=True)\n",
        "import subprocess\nsubprocess.run('ls', shell=bool(1))\n",
        "import os\nos.system('ls')\n",
        "from os import popen\n",
        "import subprocess as s\ns.getoutput('ls')\n",
    ],
)
def test_a_shell_is_found(planted: str) -> None:
    """By keyword, whatever its value, or by a function that starts one."""
    assert shells({"pipelines/clients/git/command.py": planted})


# ------------------------------------------------------------------------- tests


def test_nothing_shipped_imports_tests() -> None:
    """The wheel carries no tests."""
    assert imports_of_tests(sources()) == []
    assert imports_of_tests({"gates/slo.py": "from tests.plans import canary\n"})


def test_tests_hardly_ever_put_something_in_our_codes_place() -> None:
    """Fewer than one mock per 1000 lines of tests: the wire is tested, not the call."""
    written = sources(rooms=("tests",))
    lines = sum(len(text.splitlines()) for text in written.values())

    assert len(mocks(written)) <= lines / 1000 * MOCKS_PER_1000_TEST_LINES, mocks(written)


def test_a_mock_is_found() -> None:
    """By its names."""
    assert mocks(
        {"tests/test_x.py": "monkeypatch.setattr(engine, 'step', lambda: None)\nthing = MagicMock()\n"}
    ) == [
        "tests/test_x.py:1",
        "tests/test_x.py:2",
    ]


# ------------------------------------------------------------------------- sizes


def test_functions_stay_short() -> None:
    """Median below 10 lines, nine of ten within 35, none above 60; docstrings do not count."""
    lengths = function_lengths(sources())
    ordered = sorted(lengths.values())

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION_LINES} == {}
    assert statistics.median(ordered) < 10
    assert ordered[int(0.9 * len(ordered))] <= 35


def test_a_long_function_is_found() -> None:
    """Its lines are counted from its name to its end, decorators and docstring aside."""
    body = "\n".join("    x = 1" for _ in range(70))

    assert function_lengths({"a.py": f'@cache\ndef f():\n    """Says."""\n{body}\n'}) == {"a.py:2:f": 71}


def test_modules_stay_small() -> None:
    """A module that wants to grow becomes a folder."""
    long = {
        path: n for path, text in sources().items() if (n := len(text.splitlines())) > LONGEST_MODULE_LINES
    }

    assert long == {}


def test_every_module_says_what_it_is() -> None:
    """A docstring at the top; only an empty file has nothing to say."""
    silent = [
        path for path, text in sources().items() if text.strip() and not ast.get_docstring(ast.parse(text))
    ]

    assert silent == []
