"""A person's checkout: its origin as an address, and their name, asked of git itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines.clients.git.checkout import address, changed, checkout, user_name
from pipelines.errors import Misbehaved


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, timeout=20, capture_output=True)


def test_a_checkout_is_found_from_any_folder_in_it(tmp_path: Path) -> None:
    """With the remote it came from."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", "https://forge.example/acme/models.git")
    (tmp_path / "models" / "x").mkdir(parents=True)

    found = checkout(tmp_path / "models" / "x")
    assert found is not None
    assert (found.root, found.origin) == (tmp_path.resolve(), "https://forge.example/acme/models.git")


def test_a_checkout_without_origin_has_no_address(tmp_path: Path) -> None:
    """Nothing is guessed."""
    git(tmp_path, "init", "-q")

    found = checkout(tmp_path)
    assert found is not None
    assert found.origin == ""


def test_a_bare_repository_is_its_own_origin(tmp_path: Path) -> None:
    """Whoever names one means it."""
    git(tmp_path, "init", "-q", "--bare")

    found = checkout(tmp_path)
    assert found is not None
    assert found.origin == tmp_path.resolve().as_uri()


def test_a_folder_outside_is_in_no_checkout(tmp_path: Path) -> None:
    """Nor is one that is not there."""
    assert checkout(tmp_path) is None
    assert checkout(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("", ""),
        ("https://h/a/b.git", "https://h/a/b.git"),
        ("git@forge.example:acme/models.git", "ssh://git@forge.example/acme/models.git"),
        ("forge:acme/models.git", "ssh://forge/acme/models.git"),
        ("/srv/models.git", "file:///srv/models.git"),
        ("../models.git", "file:///srv/models.git"),
    ],
)
def test_every_way_people_write_a_remote_becomes_an_address(written: str, means: str) -> None:
    """What git understands, we do."""
    assert address(written, Path("/srv/here")) == means


def test_the_name_is_the_one_git_signs_with(tmp_path: Path) -> None:
    """As configured for that checkout."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.name", "Dana Scientist")

    assert user_name(tmp_path) == "Dana Scientist"


def test_without_git_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lacks it is told so."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Misbehaved, match="git is not installed"):
        checkout(tmp_path)


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A checkout with two files of models and one beside them."""
    git(tmp_path, "init", "-q")
    (tmp_path / "models" / "a").mkdir(parents=True)
    for path in ("models/a/one", "models/a/two", "other"):
        (tmp_path / path).write_text(path)
    git(tmp_path, "add", "--all")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qm", "one")
    return tmp_path


def test_what_differs_from_a_commit_is_found_saved_or_not(committed: Path) -> None:
    """New, changed and gone, in the index or not, with odd names; only in the part asked about."""
    assert (changed(committed, "HEAD", "models") or ("", None))[1] == {}

    (committed / "models/a/one").write_text("changed")
    (committed / "models/a/two").unlink()
    (committed / "other").write_text("changed")
    (committed / 'models/a/b "c"\tä').write_text("new")
    (committed / "models/staged").write_text("new")
    git(committed, "add", "models/staged")

    sha, found = changed(committed, "HEAD", "models") or ("", {})
    assert found == {
        "models/a/one": "M",
        "models/a/two": "D",
        'models/a/b "c"\tä': "A",
        "models/staged": "A",
    }
    assert len(sha) == 40
    assert changed(committed / "models", "HEAD", "a") == (sha, {
        "a/one": "M", "a/two": "D", 'a/b "c"\tä': "A",
    })  # fmt: skip


@pytest.mark.parametrize("base", ["nobody", "HEAD^1", "HEAD:models", "--help", "--all", "", "HEAD..HEAD"])
def test_what_names_no_commit_differs_from_nothing(committed: Path, base: str) -> None:
    """It is None, which nobody can take for "nothing differs"; a word like an option is none."""
    assert changed(committed, base, "models") is None


def test_a_comparison_that_fails_is_no_answer(committed: Path) -> None:
    """A spoilt index does not read as "nothing differs"."""
    (committed / ".git" / "index").write_bytes(b"spoilt")

    with pytest.raises(Misbehaved, match="git diff failed"):
        changed(committed, "HEAD", "models")
