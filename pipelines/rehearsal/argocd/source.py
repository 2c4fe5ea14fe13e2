"""Manifests of one commit, fetched over git into a bare cache of Argo CD's own."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


class SourceError(Exception):
    """The commit or its manifests cannot be had; the text is what Argo CD would show."""


class Source:
    """A git repository, read through a cache below ``folder``."""

    def __init__(self, url: str, token: str, folder: Path, *, timeout_seconds: float = 30.0) -> None:
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._cache = folder / "argocd.git"
        self._lock = threading.Lock()
        self._environment = _environment(token)
        if not self._cache.exists():
            self._git("init", "--quiet", "--bare", str(self._cache), inside=False)

    def head(self, branch: str) -> str:
        """Fetch and give the branch's commit.

        Raises:
            SourceError: no such branch, or the repository does not answer.
        """
        with self._lock:
            refs = f"+refs/heads/{branch}:refs/heads/{branch}"
            try:
                self._git("fetch", "--quiet", "--no-tags", "--force", self.url, refs)
            except SourceError as problem:
                if "couldn't find remote ref" in str(problem):
                    raise SourceError(f"unable to resolve '{branch}' to a commit SHA") from problem
                raise
            return self._git("rev-parse", f"refs/heads/{branch}").decode().strip()

    def resolve(self, revision: str) -> str:
        """A branch name or short SHA to a full one; 40 digits are taken unseen.

        Raises:
            SourceError: nothing of that name.
        """
        if re.fullmatch(r"[0-9a-f]{40}", revision):
            return revision
        try:
            return self.head(revision)
        except SourceError:
            if not re.fullmatch(r"[0-9a-f]{7,39}", revision):
                raise
        with self._lock:
            try:
                return self._git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
            except SourceError as problem:
                raise SourceError(f"unable to resolve '{revision}' to a commit SHA") from problem

    def manifests(self, sha: str, path: str) -> list[Object]:
        """Every object of every YAML file below a path at a commit.

        Raises:
            SourceError: unknown commit, no such path, or a file that is not YAML.
        """
        with self._lock:
            try:
                self._git("cat-file", "-e", f"{sha}^{{commit}}")
            except SourceError:
                self._git("fetch", "--quiet", "--no-tags", self.url, sha)
            try:
                packed = self._git("archive", "--format=tar", sha, "--", path)
            except SourceError as problem:
                raise SourceError(f"{path}: app path does not exist") from problem
        return _objects(packed)

    def _git(self, *arguments: str, inside: bool = True) -> bytes:
        where = ("--git-dir", str(self._cache)) if inside else ()
        try:
            done = subprocess.run(
                ["git", *where, *arguments],
                capture_output=True,
                env=self._environment,
                timeout=self._timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as problem:
            raise SourceError(f"git {arguments[0]}: no answer from the repository") from problem
        if done.returncode:
            raise SourceError(done.stderr.decode(errors="replace").strip())
        return done.stdout


def _environment(token: str) -> dict[str, str]:
    """Git's environment: no prompts, no settings of the machine, the token as a header, not in argv."""
    settings = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    return settings


def _objects(packed: bytes) -> list[Object]:
    found: list[Object] = []
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None or Path(member.name).suffix not in (".yaml", ".yml", ".json"):
                continue
            try:
                documents = list(yaml.safe_load_all(content.read()))
            except yaml.YAMLError as problem:
                raise SourceError(f"failed to unmarshal {member.name!r}: {problem}") from problem
            found += [item for item in documents if isinstance(item, dict) and "kind" in item]
    return found
