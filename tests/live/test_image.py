"""The image that is tried here is the one that the Dockerfile makes, as far as a pod of it can tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest

from pipelines.workflow.templates.pods import CLONES, TMP, USER
from tests.live.harbour import missing
from tests.test_image import DOCKERFILE, LOCK, ROOT, pins

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ASK = """
import importlib.metadata as m, json, os, re, shutil, subprocess, sys
print(json.dumps({
    "packages": {re.sub("[-_.]+", "-", one.name).lower(): one.version for one in m.distributions()},
    "user": os.getuid(),
    "variables": dict(os.environ),
    "folder": os.getcwd(),
    "programs": [one for one in sys.argv[1:] if shutil.which(one)],
    "says": subprocess.run(["lockgate", "--version"], capture_output=True, text=True).stdout,
    "writable": [one for one in ("/", "/usr", sys.prefix) if os.access(one, os.W_OK)],
}))
"""
UNWANTED = ("pip", "pip3", "gcc", "cc", "make", "curl")
"""Programs that nobody needs who runs a step."""


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    """What a pod of the image says of itself, run as the templates run it."""
    if lacking := missing(("KUBECONFIG", "LOCKGATE_LIVE_IMAGE")):
        pytest.skip(f"not set or not there: {', '.join(lacking)}")
    name = f"lockgate-image-{os.getpid()}"
    words = ["python", "-c", ASK, "git", "lockgate", *UNWANTED]
    own = {"runAsNonRoot": True, "runAsUser": USER, "readOnlyRootFilesystem": True}
    image = os.environ["LOCKGATE_LIVE_IMAGE"]
    container = {"name": name, "image": image, "command": words, "securityContext": own}
    overrides = json.dumps({"spec": {"containers": [container], "automountServiceAccountToken": False}})
    run = ["kubectl", "run", name, f"--image={image}", "--restart=Never", f"--overrides={overrides}"]
    subprocess.run(run, check=True, capture_output=True, timeout=60)
    try:
        ended = [
            "kubectl",
            "wait",
            f"pod/{name}",
            "--for=jsonpath={.status.phase}=Succeeded",
            "--timeout=300s",
        ]
        subprocess.run(ended, check=True, capture_output=True, timeout=330)
        log = subprocess.run(
            ["kubectl", "logs", name], check=True, capture_output=True, text=True, timeout=60
        )
    finally:
        subprocess.run(["kubectl", "delete", "pod", name, "--wait=false"], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(log.stdout)
    return found


def test_it_holds_the_locks_packages_and_nothing_else(pod: dict[str, Any]) -> None:
    """Each in the version of its lock, or, under an older Python, in the one that is tested with that."""
    packages = dict(pod["packages"])
    assert pod["says"] == f"lockgate {packages.pop('lockgate')}\n"
    tested = re.findall(
        r"^([a-z0-9._-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text("utf-8"), re.M
    )
    wrong = {
        name: version
        for name, version in packages.items()
        if version != pins(LOCK).get(name) and (name, version) not in tested
    }

    assert packages.keys() == pins(LOCK).keys()
    assert wrong == {}


def test_it_has_what_a_step_needs_and_no_tools(pod: dict[str, Any]) -> None:
    """git, and neither a package manager nor a compiler."""
    assert pod["programs"] == ["git", "lockgate"]


def test_it_runs_as_nobody_where_nothing_can_be_written(pod: dict[str, Any]) -> None:
    """With the variables that the Dockerfile sets."""
    said = dict(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=(\S+)", DOCKERFILE, re.MULTILINE))
    said.pop("PATH", "")
    assert {"HOME": TMP, "LOCKGATE_STATE_DIR": CLONES}.items() <= said.items()
    assert {name: pod["variables"].get(name) for name in said} == said
    assert (pod["user"], pod["writable"], pod["folder"]) == (USER, [], TMP)
