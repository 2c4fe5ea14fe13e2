"""What every pod of ours has in common: who it runs as, what it may write, where its secrets come from.

Names of objects that are made by hand or by ``base/accounts.yaml`` stand here, since the README, the accounts
and the rendered files have to agree on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hera.workflows import (
    ConfigMapEnvFrom,
    Container,
    EmptyDirVolume,
    Env,
    Parameter,
    Resources,
    RetryStrategy,
    SecretEnv,
    SecretEnvFrom,
    SecretVolume,
)
from hera.workflows import models as m
from hera.workflows.models.io.k8s.apimachinery.pkg.api.resource import Quantity

from pipelines.errors import InvalidInput, Problem
from pipelines.spec.types import Platform

ACCOUNT, EXECUTOR, DRIVER, EVENTS = "lockgate", "lockgate-executor", "lockgate-driver", "lockgate-events"
"""Service accounts: of the pods, which may do nothing; of Argo's sidecar in them; of the sweeper and the
trigger at the Argo server; of who posts events."""
SETTINGS = "lockgate"
"""ConfigMap with what is no secret."""
SECRETS, FILES, ARTIFACTS = "lockgate", "lockgate-files", "lockgate-artifacts"
"""Secrets: ``env:NAME`` references by name, ``file:`` references by file name, and what reading artifacts
from object stores needs in the environment."""
DRIVER_TOKEN = f"{DRIVER}.service-account-token"
PART_OF = "lockgate.dev/part-of"

USER = 65532
TMP, CLONES, OUTPUTS = "/tmp", "/var/cache/lockgate", "/tmp/lockgate"  # noqa: S108 - a volume of the pod's own
MESSAGE = "/dev/termination-log"
"""What stands here is shown as the pod's message, and by Argo as the task's."""
GIT_TOKEN = "LOCKGATE_GIT_TOKEN"  # noqa: S105 - the variable's name

NOT_YET, COULD_NOT_TELL, NO_CODE = 75, 5, -1


def again(limit: int = 1000) -> RetryStrategy:
    """A step that has to be asked again is; a pod that was evicted, deleted or too slow left no exit code.

    ``decide`` has the deadlines, so that this needs none; but Argo 4.0 pays no heed to the backoff where no
    limit is set.
    """
    return RetryStrategy(
        limit=limit,
        retry_policy="Always",
        expression=f"asInt(lastRetry.exitCode) in [{NOT_YET}, {COULD_NOT_TELL}, {NO_CODE}]",
        backoff=m.Backoff(duration="10s", factor=2, cap="2m"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a pod may use."""

    cpu: str
    cpu_limit: str
    memory: str
    memory_limit: str
    seconds: int
    """It is ended after so long, and asked again."""


SMALL = Room(cpu="50m", cpu_limit="1", memory="192Mi", memory_limit="512Mi", seconds=600)
LARGE = Room(cpu="500m", cpu_limit="2", memory="512Mi", memory_limit="2Gi", seconds=3600)
"""Of a gate: it may answer a golden set, or send load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """Makes the containers of one platform, all from one image."""

    image: str
    platform: Platform

    def container(
        self,
        name: str,
        args: list[str],
        *,
        inputs: tuple[str, ...] = (),
        outputs: tuple[str, ...] = (),
        room: Room = SMALL,
        drives: bool = False,
        retry: RetryStrategy | None = None,
        **more: Any,
    ) -> Container:
        """A template that runs ``lockgate`` with these arguments.

        Args:
            name: of the template.
            args: its arguments, placeholders and all: they stay arguments, whatever they hold.
            inputs: names of its parameters.
            outputs: names of the files below :data:`OUTPUTS` that become output parameters.
            room: what it may use.
            drives: it needs the token for the Argo server.
            retry: when it is asked again; None: never.
            more: anything else Hera's Container takes.
        """
        return Container(
            name=name,
            image=self.image,
            command=["lockgate"],
            args=args,
            inputs=[Parameter(name=one) for one in inputs],
            outputs=[_output(one) for one in outputs],
            env=[*self._secrets(drives)],
            env_from=[ConfigMapEnvFrom(name=SETTINGS), SecretEnvFrom(name=ARTIFACTS, optional=True)],
            volume_mounts=[_mount(one) for one in self.volumes()],
            resources=_resources(room),
            security_context=_locked_down(),
            termination_message_policy="FallbackToLogsOnError",
            active_deadline_seconds=room.seconds,
            retry_strategy=retry,
            **more,
        )

    def volumes(self) -> list[EmptyDirVolume | SecretVolume]:
        """The volumes of a workflow, every one of which is mounted in every pod."""
        return [
            EmptyDirVolume(name="tmp", mount_path=TMP, size_limit=Quantity("1Gi")),
            EmptyDirVolume(name="clones", mount_path=CLONES, size_limit=Quantity("2Gi")),
            *self._files(),
        ]

    def _files(self) -> Iterator[SecretVolume]:
        """One volume for each folder that platform.yaml names files in."""
        for n, (folder, names) in enumerate(sorted(folders(self.platform).items()), start=1):
            yield SecretVolume(
                name=f"files-{n}",
                mount_path=folder,
                secret_name=FILES,
                default_mode=0o440,
                items=[m.KeyToPath(key=name, path=name) for name in names],
            )

    def _secrets(self, drives: bool) -> Iterator[SecretEnv | Env]:
        server = self.platform.systems.workflows
        driver = server.token.removeprefix("env:") if server and server.token.startswith("env:") else ""
        names = sorted({name for kind, name in references(self.platform) if kind == "env"} - {driver})
        for name in names:
            yield SecretEnv(name=name, secret_name=SECRETS, secret_key=name)
        if drives and driver:
            yield SecretEnv(name=driver, secret_name=DRIVER_TOKEN, secret_key="token")  # noqa: S106 - a key's name
        token = self.platform.systems.forge.token or ""
        written = token.removeprefix("env:") if token.startswith("env:") else GIT_TOKEN
        if GIT_TOKEN not in names:
            optional = None if token.startswith("env:") else True
            yield SecretEnv(name=GIT_TOKEN, secret_name=SECRETS, secret_key=written, optional=optional)


def settings(platform: Platform) -> dict[str, str]:
    """What every pod finds in its environment that is no secret."""
    app = platform.systems.forge.app
    git = {"LOCKGATE_GIT_APP": f"{app.app_id}:{app.installation_id}:{app.private_key}"} if app else {}
    return {
        "HOME": TMP,
        "LOCKGATE_REPO": platform.systems.forge.git_url,
        "LOCKGATE_STATE_DIR": CLONES,
        **git,
    }


def references(platform: Platform) -> set[tuple[str, str]]:
    """Every secret that platform.yaml refers to: ``env`` or ``file``, and where it is."""
    found = set()
    for path, text in _texts(platform.model_dump()):
        kind, _, where = text.partition(":")
        if path in ("token", "password", "private_key") and kind in ("env", "file"):
            found.add((kind, where))
        if path == "ca_file":
            found.add(("file", text))
    return found


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield from _texts(held, str(name))
    elif isinstance(value, str):
        yield key, value


def folders(platform: Platform) -> dict[str, list[str]]:
    """Folder -> the files of it that platform.yaml refers to.

    Raises:
        InvalidInput: two of them have one name: each is a key of one Secret, by its name.
    """
    files = sorted(PurePosixPath(where) for kind, where in references(platform) if kind == "file")
    names = [file.name for file in files]
    if double := sorted({name for name in names if names.count(name) > 1}):
        message = f"files in several folders are called {', '.join(double)}, and are keys of one Secret"
        raise InvalidInput([Problem("platform.yaml", 0, "", message, "give each file a name of its own")])
    return {
        str(folder): [file.name for file in files if file.parent == folder]
        for folder in {f.parent for f in files}
    }


def _mount(volume: EmptyDirVolume | SecretVolume) -> m.VolumeMount:
    read_only = True if isinstance(volume, SecretVolume) else None
    return m.VolumeMount(name=volume.name or "", mount_path=volume.mount_path or "", read_only=read_only)


def _output(name: str) -> Parameter:
    # Without a default, whoever reads the output of a task that left none waits for ever.
    return Parameter(name=name, value_from=m.ValueFrom(path=f"{OUTPUTS}/{name}", default=""))


def _resources(room: Room) -> Resources:
    return Resources(
        cpu_request=room.cpu,
        cpu_limit=room.cpu_limit,
        memory_request=room.memory,
        memory_limit=room.memory_limit,
    )


def _locked_down() -> m.SecurityContext:
    return m.SecurityContext(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        capabilities=m.Capabilities(drop=["ALL"]),
    )


def executor_patch() -> str:
    """What Argo's own containers in a pod lack; a namespace that is ``restricted`` takes none without it."""
    context = _locked_down().model_dump(by_alias=True, exclude_none=True)
    resources = {
        "requests": {"cpu": "10m", "memory": "64Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi"},
    }
    argo = [{"name": name, "securityContext": context, "resources": resources} for name in ("init", "wait")]
    return json.dumps({"initContainers": argo[:1], "containers": argo[1:]})


def run_as() -> m.PodSecurityContext:
    """Who a pod runs as."""
    return m.PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER,
        run_as_group=USER,
        fs_group=USER,
        seccomp_profile=m.SeccompProfile(type="RuntimeDefault"),
    )
