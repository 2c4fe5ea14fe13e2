"""A small cluster for tests: InferenceServices by hand, servers whose readiness is set by hand, a router.

Aspects: the servers and the router satisfy the protocols of pipelines.rehearsal.parts and keep what they
were told; nothing is patched.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipelines.rehearsal.argocd import ArgoCd
from pipelines.rehearsal.kserve import KServe
from pipelines.rehearsal.parts import Backend

NAMESPACE, SERVICE = "risk-prod", "fraud"
TOKENS = {"admin": "token-admin", "promoter": "token-promoter", "viewer": "token-viewer"}


class HandBackends:
    """Servers that exist in memory: ready at once unless their URI was told otherwise."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.outcome: dict[str, Backend] = {}
        self.log: list[tuple[str, str]] = []
        self._ports = iter(range(20001, 30000))
        self._port: dict[str, int] = {}
        self._lock = threading.Lock()

    def hold(self, uri: str) -> None:
        """Servers of this artifact keep starting."""
        self.outcome[uri] = Backend(state="starting", port=0)

    def fail(self, uri: str, reason: str) -> None:
        """Servers of this artifact fail."""
        self.outcome[uri] = Backend(state="failed", port=0, reason=reason)

    def release(self, uri: str) -> None:
        """Servers of this artifact get ready."""
        self.outcome.pop(uri, None)

    def start(self, key: str, *, model: str, uri: str) -> None:
        with self._lock:
            assert key not in self.running, f"{key} started twice"
            self.running[key] = uri
            self._port[key] = next(self._ports)
            self.log.append(("start", key))

    def look(self, key: str) -> Backend:
        with self._lock:
            if key not in self.running:
                return Backend(state="failed", port=0, reason="not started")
            ready = Backend(state="ready", port=self._port[key])
            return self.outcome.get(self.running[key], ready)

    def stop(self, key: str) -> None:
        with self._lock:
            self.running.pop(key, None)
            self.log.append(("stop", key))


class HandRouter:
    """A router that remembers every split it was given."""

    def __init__(self, backends: HandBackends) -> None:
        self.splits: dict[str, dict[str, tuple[int, int]]] = {}
        self.history: list[tuple[str, dict[str, int]]] = []
        self.broken = ""
        self._backends = backends

    def route(self, service: str, backends: Mapping[str, tuple[int, int]]) -> None:
        if self.broken:
            raise ConnectionError(self.broken)
        assert all(port > 0 for port, _ in backends.values()), backends
        self.splits[service] = dict(backends)
        self.history.append((service, {key: percent for key, (_, percent) in backends.items()}))

    def forget(self, service: str) -> None:
        self.splits.pop(service, None)

    def url(self, service: str) -> str:
        assert service in self.splits, f"{service} has no route yet"
        return f"http://127.0.0.1:10000/{service}"

    def serves(self, service: str = f"{NAMESPACE}/{SERVICE}") -> dict[str, int]:
        """Percent by artifact URI, of what really gets requests."""
        shares: dict[str, int] = {}
        ports = {port: key for key, port in self._backends._port.items()}
        for port, percent in self.splits.get(service, {}).values():
            uri = self._backends.running.get(ports[port], "nobody")
            if percent:
                shares[uri] = shares.get(uri, 0) + percent
        return shares


def uri(version: str) -> str:
    """Artifact of a version."""
    return f"s3://models/{SERVICE}/{version}"


def knative(
    version: str, percent: int | None = 100, *, name: str = SERVICE, namespace: str = NAMESPACE, **notes: str
) -> dict[str, Any]:
    """An InferenceService in Knative mode; further keywords become annotations."""
    model = {"modelFormat": {"name": "sklearn"}, "protocolVersion": "v2", "storageUri": uri(version)}
    predictor: dict[str, Any] = {"minReplicas": 1, "model": model}
    if percent is not None:
        predictor["canaryTrafficPercent"] = percent
    return service(predictor, "Knative", name=name, namespace=namespace, **notes)


def standard(
    version: str, *canaries: tuple[str, int], name: str = SERVICE, replicas: int = 2, **notes: str
) -> dict[str, Any]:
    """An InferenceService in Standard mode with canary entries (version, percent)."""
    predictor = {"name": version, "minReplicas": replicas, "maxReplicas": 4, "model": standard_model(version)}
    item = service(predictor, "Standard", name=name, namespace=NAMESPACE, **notes)
    if canaries:
        item["spec"]["canary"] = [
            {"trafficPercent": percent, "predictor": {"name": v, "model": standard_model(v)}}
            for v, percent in canaries
        ]
    return item


def standard_model(version: str) -> dict[str, Any]:
    return {"modelFormat": {"name": "sklearn"}, "protocolVersion": "v2", "storageUri": uri(version)}


def service(
    predictor: dict[str, Any], mode: str, *, name: str, namespace: str, **notes: str
) -> dict[str, Any]:
    annotations = {"serving.kserve.io/deploymentMode": mode, **notes}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"predictor": predictor},
    }


def config_map(name: str, *, namespace: str = NAMESPACE, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


class GitOps:
    """A real git repository whose main branch holds manifests below clusters/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.email", "machine@example.com")
        self.git("config", "user.name", "machine")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, path: str, *items: dict[str, Any] | str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        texts = [item if isinstance(item, str) else yaml.safe_dump(item) for item in items]
        target.write_text("---\n".join(texts))

    def commit(
        self, *items: dict[str, Any], path: str = "clusters/prod/risk/fraud/all.yaml", remove: str = ""
    ) -> str:
        """Commit these objects as one file; the SHA."""
        if items:
            self.write(path, *items)
        if remove:
            (self.folder / remove).unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a share")
        return self.git("rev-parse", "HEAD")


class World:
    """KServe with hand-driven servers, Argo CD over HTTP, a git repository; one application ``prod``."""

    def __init__(self, folder: Path, *, kserve_version: Any = "0.20", **settings: float) -> None:
        self.backends = HandBackends()
        self.router = HandRouter(self.backends)
        self.kserve = KServe(
            self.backends, self.router, kserve_version=kserve_version, poll_seconds=0.02, restart_seconds=0.1
        )
        self.git = GitOps(folder / "gitops")
        self.argocd = ArgoCd(
            self.kserve,
            git_url=self.git.url,
            git_token="",
            tokens=TOKENS,
            folder=folder / "argocd",
            **{"delay_seconds": 0.01, **settings},
        )
        self.argocd.add_application("prod", "gated", "clusters/prod", NAMESPACE)

    @contextmanager
    def running(self) -> Iterator[World]:
        self.kserve.start()
        self.argocd.start()
        try:
            yield self
        finally:
            self.argocd.stop()
            self.kserve.stop()


def eventually(holds: Callable[[], Any], *, seconds: float = 10.0, what: str = "it") -> Any:
    """Poll until something true comes back; fails when the deadline passes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = holds()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s; last: {holds()!r}")
