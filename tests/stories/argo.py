"""A town that has Argo Workflows too: templates as rendered, tasks that run lockgate, and a sweeper."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipelines.clients.argo_workflows import ArgoWorkflows
from pipelines.config import Secrets
from pipelines.journal.lines import decode
from pipelines.journal.state import State, fold
from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.cluster import Ended
from pipelines.rehearsal.processes import wait_until
from pipelines.spec.read import read_platform
from pipelines.sweeping.actions import Pace
from pipelines.sweeping.sweeper import Sweeper
from pipelines.wiring import Desktop, SystemClock, assignment
from pipelines.workflow.running import Launch
from pipelines.workflow.running.processes import moved
from pipelines.workflow.templates import files
from tests.argos import TOKENS
from tests.stories.town import MODEL, Town

TOKEN = "ARGO_WORKFLOWS_TOKEN"
PATIENCE_SECONDS = 180.0
"""How long a story waits for what takes seconds, so that a busy machine fails none."""


class ForkedPods:
    """Tasks as forks of one process: quick to start, and killed without a trace as a pod that is deleted."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._codes: dict[str, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "podfork.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self.started: list[str] = []

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            name, _, code = line.strip().rpartition(" ")
            self._codes[name] = int(code)

    def _tell(self, words: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def start(self, launch: Launch, folder: Path) -> ForkedPod:
        """Start one."""
        root = folder / str(len(self.started))
        own = [*launch.scratch, *(path for _, path in launch.outputs)]
        for _, path in launch.outputs:
            (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        name = f"{launch.node} {len(self.started)}"
        self.started.append(launch.name.partition(".")[2])
        variables = {key: moved(value, own, root) for key, value in launch.env}
        words = [moved(word, own, root) for word in launch.command]
        log = root / "output.txt"
        root.mkdir(parents=True, exist_ok=True)
        self._tell(
            {
                "id": name,
                "words": words,
                "environment": {**self._environment, **variables},
                "log": str(log),
            }
        )
        outputs = {output: root / path.lstrip("/") for output, path in launch.outputs}
        return ForkedPod(name, self._codes, outputs, log, self._tell)

    def stop(self) -> None:
        """End them all."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=10)
        if self._process.stdout:
            self._process.stdout.close()


@dataclass(frozen=True)
class ForkedPod:
    """One of them."""

    name: str
    codes: Mapping[str, int]
    outputs: Mapping[str, Path]
    log: Path
    tell: Callable[[Mapping[str, object]], None]

    def poll(self) -> Ended | None:
        """How it ended."""
        code = self.codes.get(self.name)
        if code is None:
            return None
        found = {name: path.read_text() for name, path in self.outputs.items() if path.is_file()}
        said = self.log.read_text().strip().splitlines() if code else []
        return Ended(exit_code=None if code < 0 else code, outputs=found, message=said[-1] if said else "")

    def end(self) -> None:
        """Kill it."""
        self.tell({"end": self.name})


@dataclass
class Harbour:
    """Argo beside a town, and who looks after what runs there."""

    town: Town
    folder: Path
    server: ArgoServer
    pods: ForkedPods
    environment: Mapping[str, str]
    deeds: list[str] = field(default_factory=list)
    """What the sweeper did so far."""
    pace: Pace = field(default_factory=lambda: Pace(apart_seconds=0.0, attempts=20))

    def argo(self) -> ArgoWorkflows:
        """A client for it."""
        return ArgoWorkflows(
            url=self.server.address,
            namespace=self.server.namespace,
            token=TOKENS["client"],
            timeout_seconds=30,
        )

    def desktop(self) -> Desktop:
        """The machine that the sweeper runs on."""
        return Desktop(
            git_url=self.town.forge.git_url,
            git_token=self.environment["LOCKGATE_GIT_TOKEN"],
            folder=self.folder / "sweeper",
            secrets=Secrets(self.environment),
            clock=SystemClock(),
        )

    def sweeper(self) -> Sweeper:
        """Looks after promotions."""
        desktop = self.desktop()
        return Sweeper(
            journals=desktop.journals(desktop.repository()),
            clock=desktop.clock,
            workflows=self.argo,
            assign=lambda promotion, by: assignment(desktop, promotion, by=by),
            pace=self.pace,
        )

    def state(self, promotion: str) -> State:
        """A promotion as its journal has it now."""
        desktop = self.desktop()
        found = fold(decode(promotion, desktop.journals(desktop.repository()).read(promotion)))
        assert found is not None
        return found


@contextmanager
def harbour(town: Town, folder: Path) -> Iterator[Harbour]:
    """Give a town its Argo server: platform.yaml on main names it, and what is rendered from it is there."""
    environment = {
        **town.environment,
        TOKEN: TOKENS["client"],
        "LOCKGATE_STATE_DIR": str(folder / "pods"),
        "HOME": str(folder),
    }
    pods = ForkedPods(environment)
    server = ArgoServer(folder / "scratch", pods=pods, tokens=TOKENS)
    platform = yaml.safe_load(town.git("oscar").read("platform.yaml", "main") or "")
    platform["systems"]["workflows"] = {
        "url": server.address,
        "namespace": server.namespace,
        "token": f"env:{TOKEN}",
    }
    environments = platform["environments"]
    if "preview" not in {one.get("preview") for one in environments.values()}:
        del environments["preview"]  # nobody's: what main wants would be wanted there too
    text = yaml.safe_dump(platform, sort_keys=False)
    town.push("oscar", "main", {"platform.yaml": text}, subject="Argo Workflows")
    rendered = files(read_platform(text), {"regulated": [MODEL]}, image="lockgate")
    # As rendered, but for the pause before a step is asked again.
    server.cluster.apply(rendered["promote-regulated.yaml"].replace("duration: 10s", "duration: 1s"))
    for name in ("wanted.yaml", "events.yaml"):
        server.cluster.apply(rendered[name])
    server.start()
    try:
        yield Harbour(town, folder, server, pods, environment)
    finally:
        server.stop()
        pods.stop()


def until(harbour: Harbour, sweeper: Sweeper, what: str, look: Callable[[], object]) -> None:
    """Sweep again and again until something is so."""

    def seen() -> bool:
        if look():
            return True
        report = sweeper.sweep()
        harbour.deeds.extend(deed.sentence for deed in report.deeds)
        assert report.good, report.deeds
        return bool(look())

    wait_until(what, seen, seconds=PATIENCE_SECONDS, every_seconds=0.3)
