"""The image, as far as it can be told without building it: what goes in, from where, and as whom it runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
LOCK = (ROOT / "requirements.image.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def pins(text: str) -> dict[str, str]:
    """Package -> its version, of a lock."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    """The packages of requirements, as locks write them."""
    found = (re.match(r"[A-Za-z0-9._-]+", one) for one in requirements)
    return {re.sub("[-_.]+", "-", match[0]).lower() for match in found if match}


def test_everything_is_pinned_by_hash_and_from_no_place_in_particular() -> None:
    """A package that was changed on its way is not installed."""
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.strip())
    assert len(blocks) == len(pins(LOCK)) > 50
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in LOCK


def test_what_runs_is_in_it_and_what_only_tests_is_not() -> None:
    """Each dependency, object stores and the registry; neither the rehearsal nor a tool."""
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = names([*PROJECT["project"]["dependencies"], *extras["s3"], *extras["gcs"], *extras["mlflow"]])
    tools = names(PROJECT["dependency-groups"]["dev"]) | names(extras["rehearsal"])
    needed_too = {"flask", "fsspec", "psutil", "pytest"}  # by locust and s3fs
    assert wanted <= pins(LOCK).keys()
    assert not (tools - wanted - needed_too) & pins(LOCK).keys()


def test_it_holds_the_versions_that_are_tested() -> None:
    """But for what object stores cannot yet work with."""
    tested = pins((ROOT / "requirements.lock").read_text("utf-8"))
    differing = {name for name, one in pins(LOCK).items() if tested.get(name, one) != one}

    assert differing <= {"python-dateutil"}


def test_it_begins_with_a_digest_that_whoever_builds_it_names() -> None:
    """There is no default to forget."""
    assert re.findall(r"^ARG .*$", DOCKERFILE, re.MULTILINE) == ["ARG PYTHON"]
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON}"}


def test_it_runs_as_nobody_in_particular() -> None:
    """By number, so that Kubernetes can tell that it is not root; the same number as in the templates."""
    from pipelines.workflow.templates.pods import CLONES, USER

    last = DOCKERFILE.split("FROM ")[-1]
    assert f"USER {USER}:{USER}" in last
    assert f"chown {USER}:{USER} {CLONES}" in last
    assert 'ENTRYPOINT ["lockgate"]' in last


def test_nothing_else_of_the_checkout_comes_in() -> None:
    """What is copied is what is not ignored."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE))

    assert "*" in ignored
    assert kept == copied == {"requirements.image.lock", "dist/lockgate-*.whl"}
