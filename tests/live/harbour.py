"""A town whose promotions run as workflows of a real controller, in real pods, in a namespace of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from pipelines.clients.argo_workflows import ArgoWorkflows
from pipelines.config import Secrets
from pipelines.journal.lines import decode
from pipelines.journal.state import State, fold
from pipelines.ports import Workflow, WorkflowNode
from pipelines.rehearsal import settings
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.training import MODEL, Faults
from pipelines.spec.types import Version
from pipelines.sweeping.actions import Pace
from pipelines.sweeping.sweeper import Sweeper
from pipelines.wiring import Desktop, SystemClock, assignment
from tests.commands import Shell
from tests.live.doors import Doors
from tests.stories.town import Town

NEEDED = ("KUBECONFIG", "ARGO_SERVER", "LOCKGATE_LIVE_HOST", "LOCKGATE_LIVE_IMAGE")
SAMPLE = Path(__file__).parents[2] / "gitops-repo"
TOKEN = "ARGO_WORKFLOWS_TOKEN"
DRIVER_TOKEN = "lockgate-driver.service-account-token"
TEMPLATE = "promote-regulated"
RULES: Mapping[str, Any] = {
    "preview": True,
    "approval": {"ask_every": "5s", "wait_at_most": "60m"},
    "shares": [50, 100],
    "soak": "10s",
    "bake": {"minimum": "10s", "maximum": "30m", "look_every": "5s", "warm_up": "1s"},
    "hold_budget": "20m",
    "preview_at_most": "20m",
    "sync_at_most": "20m",
}


class LiveTown(Town):
    """A town that pods reach too. What runs on this machine goes on meeting its servers on loopback.

    Its gates are those that a pod can ask: candidates are served on loopback, and
    artifacts are files of this machine.
    """

    def __init__(self, folder: Path, *, artifacts: Path, doors: Doors, namespace: str) -> None:
        super().__init__(folder, artifacts=artifacts)
        self.doors, self._namespace = doors, namespace
        servers = (self.forge.url, self.desk.url, self.argocd.url, self.prometheus.url)
        self.public = {url: doors.open(url) for url in servers}
        self.argo_url = doors.open(f"http://{os.environ['ARGO_SERVER']}")
        shapes, forge = self.forge.world.shapes, self.public[self.forge.url]
        # What an answer refers to is asked for there again, and never elsewhere.
        for name in ("web", "api", "repo_api"):
            setattr(shapes, name, getattr(shapes, name).replace(self.forge.url, forge))

    def rules(self, **changes: Any) -> str:
        """platform.yaml with the addresses that pods use."""
        document = yaml.safe_load(super().rules(**{**RULES, **changes}))
        del document["tiers"]["regulated"]["gates"]["signature"]
        ca_file = str(self.doors.ca_file)
        for environment in document["environments"].values():
            environment["argocd"]["ca_file"] = ca_file
            if "metrics" in environment:
                environment["metrics"]["ca_file"] = ca_file
        document["systems"]["workflows"] = {
            "url": self.argo_url,
            "namespace": self._namespace,
            "token": f"env:{TOKEN}",
            "ca_file": ca_file,
        }
        text = yaml.safe_dump(document, sort_keys=False)
        for inside, outside in self.public.items():
            text = text.replace(inside, outside)
        return text

    @property
    def trust(self) -> dict[str, str]:
        """Variables by which clients without a setting of their own trust the doors."""
        return {name: str(self.doors.ca_file) for name in ("REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")}

    @property
    def git_address(self) -> str:
        """The repository's address for pods."""
        return self.forge.git_url.replace(self.forge.url, self.public[self.forge.url])

    def wanted(self, faults: Faults | None = None, like: str = "v2") -> Version:
        """Dana writes a new version into release.yaml on main."""
        candidate = self.version(faults, like=like)
        path = f"models/{MODEL}/release.yaml"
        release = yaml.safe_load(self.git("oscar").read(path, "main") or "")
        release["version"] = candidate.model_dump(exclude_none=True)
        self.push("dana", "main", {path: yaml.safe_dump(release, sort_keys=False)}, subject=candidate.label)
        return candidate


@dataclass
class Harbour:
    """A live town, its namespace, and who looks after what runs there."""

    town: LiveTown
    folder: Path
    namespace: str
    image: str
    environment: dict[str, str] = field(default_factory=dict)
    deeds: list[str] = field(default_factory=list)
    """What sweepers on this machine did so far; those in pods do theirs beside it."""

    # -------------------------------------------------------------------------- the cluster

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run kubectl in the namespace; what it prints."""
        command = ["kubectl", "--namespace", self.namespace, *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def apply(self) -> None:
        """Render what main says, and apply it, as the README of the sample's workflows has people do."""
        checkout = self.folder / "checkout"
        shutil.copytree(SAMPLE / "workflows", checkout / "workflows", dirs_exist_ok=True)
        files = {"platform.yaml": None, f"models/{MODEL}/release.yaml": None}
        for path in files:
            (checkout / path).parent.mkdir(parents=True, exist_ok=True)
            (checkout / path).write_text(self.town.git("oscar").read(path, "main") or "", "utf-8")
        ran = Shell({})("--repo", checkout, "workflow", "render", "--image", self.image)
        assert ran.code == 0, ran.err
        base = checkout / "workflows" / "base" / "kustomization.yaml"
        base.write_text(base.read_text().replace("namespace: lockgate", f"namespace: {self.namespace}"))
        self.kubectl("apply", "-k", str(base.parent))

    def secret(self, name: str, values: Mapping[str, str]) -> None:
        """Make a Secret, or replace it."""
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(values)}
        self.kubectl("apply", "-f", "-", text=json.dumps(body))

    def driver_token(self) -> str:
        """The token of the account that base/accounts.yaml makes for the sweeper."""
        import base64

        encoded = self.kubectl("get", "secret", DRIVER_TOKEN, "-o", "jsonpath={.data.token}")
        return base64.b64decode(encoded).decode()

    def pods(self, selector: str = "", *, running: bool = True) -> list[dict[str, Any]]:
        """The pods of workflows; those that run or are about to, unless told otherwise."""
        words = ("get", "pods", "-o", "json", "-l", selector or "workflows.argoproj.io/workflow")
        found: list[dict[str, Any]] = json.loads(self.kubectl(*words))["items"]
        return [pod for pod in found if not running or pod["status"]["phase"] in ("Pending", "Running")]

    def pods_of(self, workflow: str) -> list[dict[str, Any]]:
        """The pods of a workflow that run or are about to."""
        return self.pods(f"workflows.argoproj.io/workflow={workflow}")

    # ------------------------------------------------------------------------------- Argo

    def argo(self, token: str = "") -> ArgoWorkflows:
        """A client for it."""
        return ArgoWorkflows(
            url=self.town.argo_url,
            namespace=self.namespace,
            token=token or self.environment[TOKEN],
            ca_file=str(self.town.doors.ca_file),
            timeout_seconds=60,
        )

    def by_hand(self, method: str, path: str, **body: object) -> dict[str, Any]:
        """What somebody does in Argo's own pages, below this namespace's workflows."""
        url = f"http://{os.environ['ARGO_SERVER']}/api/v1/workflows/{self.namespace}/{path}"
        headers = {"Authorization": f"Bearer {self.environment[TOKEN]}"}
        answer = requests.request(method, url, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def submit(self, **form: str) -> str:
        """Somebody sends the form of the tier's template; the workflow's name."""
        asked = {"model": MODEL, "environment": "prod", "requested_by": "dana", "reason": "recall"} | form
        parameters = [f"{name.replace('_', '-')}={value}" for name, value in asked.items()]
        made = self.by_hand(
            "POST",
            "submit",
            resourceKind="WorkflowTemplate",
            resourceName=TEMPLATE,
            submitOptions={"parameters": parameters, "generateName": "asked-"},
        )
        return str(made["metadata"]["name"])

    def begun(self, workflow: str) -> str:
        """The promotion that a workflow moves, as soon as its first step said which."""

        def said() -> str:
            found = self.argo().look(workflow)
            return found.promotion if found is not None else ""

        return wait_until(f"{workflow} begins a promotion", said, seconds=900, every_seconds=2)

    def over(self, workflow: str, *, seconds: float = 1200) -> Workflow:
        """A workflow, once it has ended."""

        def seen() -> Workflow | None:
            found = self.argo().look(workflow)
            return found if found is not None and not found.alive else None

        return wait_until(f"{workflow} ends", seen, seconds=seconds, every_seconds=2)

    def waiting(self, promotion: str, task: str) -> tuple[Workflow, WorkflowNode] | None:
        """The living workflow of a promotion and its node, where it waits there now."""
        for workflow in self.argo().alive():
            for node in workflow.nodes:
                if (workflow.promotion, node.task, node.waits) == (promotion, task, True):
                    return workflow, node
        return None

    # --------------------------------------------------------------------------- lockgate

    def shell(self, *words: object) -> Any:
        """A person runs lockgate on this machine."""
        return Shell(self.environment)(*words)

    def desktop(self) -> Desktop:
        """The machine that a sweeper runs on."""
        return Desktop(
            git_url=self.town.git_address,
            git_token=self.environment[settings.GIT_TOKEN],
            folder=self.folder / "sweeper",
            secrets=Secrets(self.environment),
            clock=SystemClock(),
        )

    def sweeper(self, token: str = "") -> Sweeper:
        """One that does not wait two minutes before it follows a lost workflow by another."""
        desktop = self.desktop()
        return Sweeper(
            journals=desktop.journals(desktop.repository()),
            clock=desktop.clock,
            workflows=lambda: self.argo(token),
            assign=lambda promotion, by: assignment(desktop, promotion, by=by),
            pace=Pace(apart_seconds=0.0, attempts=50),
        )

    def until(self, what: str, look: Callable[[], Any], *, seconds: float = 1800) -> Any:
        """Sweep again and again until something is so; what was seen then."""
        sweeper = self.sweeper()

        def seen() -> Any:
            if found := look():
                return found
            report = sweeper.sweep()
            self.deeds += [f"{deed.promotion}: {deed.sentence}" for deed in report.deeds]
            return look()

        return wait_until(what, seen, seconds=seconds, every_seconds=1)

    def comes_to(self, promotion: str, task: str, *, seconds: float = 1800) -> tuple[Workflow, WorkflowNode]:
        """A promotion's workflow and its node, once it waits there."""
        found: tuple[Workflow, WorkflowNode] = self.until(
            f"{promotion} waits at {task}", lambda: self.waiting(promotion, task), seconds=seconds
        )
        return found

    def promotions(self) -> list[str]:
        """The ids of all there are."""
        desktop = self.desktop()
        return list(desktop.journals(desktop.repository()).promotions())

    def state(self, promotion: str) -> State:
        """A promotion as its journal has it now."""
        desktop = self.desktop()
        found = fold(decode(promotion, desktop.journals(desktop.repository()).read(promotion)))
        assert found is not None
        return found

    def ended(self, promotion: str, *, seconds: float = 1800) -> State:
        """A promotion that is over."""
        self.until(f"{promotion} ends", lambda: self.state(promotion).ended, seconds=seconds)
        return self.state(promotion)


def missing(names: Sequence[str] = NEEDED) -> list[str]:
    """What a cluster to try this on lacks."""
    unset = [name for name in names if not os.environ.get(name)]
    return unset + [program for program in ("kubectl", "argo", "openssl") if shutil.which(program) is None]


@contextmanager
def harbour(folder: Path, artifacts: Path) -> Iterator[Harbour]:
    """A town, a namespace with all that the sample's base has, and the secrets that people make."""
    host, image = os.environ["LOCKGATE_LIVE_HOST"], os.environ["LOCKGATE_LIVE_IMAGE"]
    namespace = f"lockgate-{secrets.token_hex(3)}"
    doors = Doors(host, folder / "tls")
    try:
        town = LiveTown(folder / "town", artifacts=artifacts, doors=doors, namespace=namespace)
        with pytest.MonkeyPatch.context() as patched, town:
            for name, value in town.trust.items():
                patched.setenv(name, value)
            made = Harbour(town, folder, namespace, image)
            try:
                _furnish(made)
                yield made
            finally:
                made.kubectl("delete", "namespace", namespace, "--wait=false")
    finally:
        doors.close()


def _furnish(harbour: Harbour) -> None:
    harbour.apply()
    town = harbour.town
    names = (settings.FORGE_TOKEN, settings.DESK_PASSWORD, settings.ARGOCD_TOKEN)
    harbour.secret("lockgate", {name: town.environment[name] for name in names})
    harbour.secret("lockgate-files", {"ca.pem": town.doors.ca_file.read_text()})
    harbour.secret("lockgate-artifacts", town.trust)
    harbour.environment = {
        **town.environment,
        **town.trust,
        "LOCKGATE_REPO": town.git_address,
        "LOCKGATE_STATE_DIR": str(harbour.folder / "person"),
        "HOME": str(harbour.folder),
        TOKEN: wait_until("a token", harbour.driver_token, seconds=60),
    }
