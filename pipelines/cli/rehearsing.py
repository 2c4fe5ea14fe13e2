"""The rehearsal: the whole job on this machine, with the real clients over the wire."""

from __future__ import annotations

import logging
import shutil
import signal
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from pipelines.cli.session import Session, command, mistake

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.rehearsal.demo.acts import Cast
    from pipelines.rehearsal.demo.narrator import Voice

HOME = Path(".lockgate")
TERMINATED, INTERRUPTED = 143, 130
_WATCHED_NAME = "processes.json"
"""Every folder a world ever lived in has this file."""


@command()
@click.option("--demo", is_flag=True, help="Tell the main job: v2 to 100 %, v3 back to 0, v4 refused.")
@click.option("--interactive", is_flag=True, help="The demo or scenario, but you approve on the desk's page.")
@click.option("--scenario", metavar="NAME", help="Rehearse one fault; --list names them.")
@click.option("--list", "listed", is_flag=True, help="List scenarios, versions and servers.")
@click.option("--only", metavar="SERVER", help="One server alone; --list names them.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the world lives; made anew each time.  [default: .lockgate/rehearsal]",
)
def rehearse(
    session: Session,
    demo: bool,
    interactive: bool,
    scenario: str | None,
    listed: bool,
    only: str | None,
    folder: Path | None,
) -> int:
    """Run the whole job on this machine, with real servers.

    Git, Envoy, Prometheus and the model servers are real; GitHub, ServiceNow, Argo CD and KServe are
    answered for on loopback. Without an option the world runs until Ctrl-C, for commands in another
    terminal. Exit code 0 when a story went as it has to, 1 when it did not.
    """
    if sum((demo, scenario is not None, only is not None)) > 1 or (only and interactive):
        raise mistake("rehearse", "more than one of --demo, --scenario and --only was given", "choose one")
    if listed:
        _list(session)
        return 0
    signal.signal(signal.SIGTERM, _terminated)
    place = _fresh(folder or HOME / "rehearsal")
    if only is not None:
        return _alone(session, only, place)
    return _world(session, place, scenario=scenario, story=demo or interactive, interactive=interactive)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends us as Ctrl-C does: everything that was started is ended."""
    raise SystemExit(TERMINATED)


def _fresh(folder: Path) -> Path:
    """The folder, empty; what an earlier world left in it is ended and removed.

    Raises:
        InvalidInput: something else is in it, or a living world.
    """
    from pipelines.rehearsal.processes import end_leftovers

    if folder.exists() and any(folder.iterdir()):
        if not (folder / _WATCHED_NAME).is_file():
            raise mistake("--folder", f"{folder} holds files of another kind", "name a new folder")
        end_leftovers(folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# ------------------------------------------------------------------------------ a world


def _world(session: Session, folder: Path, *, scenario: str | None, story: bool, interactive: bool) -> int:
    from rich.console import Console

    from pipelines.config import configure_logging
    from pipelines.rehearsal import scenarios
    from pipelines.rehearsal.demo.acts import Cast
    from pipelines.rehearsal.demo.narrator import Voice
    from pipelines.rehearsal.prometheus import ensure_prometheus
    from pipelines.rehearsal.world import Rehearsal

    if scenario is not None:
        scenarios.scenario(scenario)
    ensure_prometheus()
    console = Console(stderr=session.as_json, emoji=False, highlight=False)
    if not session.verbose:  # an outage that is rehearsed is told, not logged
        logging.getLogger("urllib3").setLevel(logging.ERROR)
    if console.is_terminal:
        console.print("starting the world; the first time, some models are trained …", style="dim")
    with Rehearsal(folder, artifacts=HOME / "artifacts") as world:
        cast = Cast(world)
        configure_logging(cast.desktop.secrets, verbose=session.verbose)
        voice = Voice(console, mask=str if interactive else cast.desktop.secrets.mask)
        try:
            return _act(
                session, cast, voice, console, scenario=scenario, story=story, interactive=interactive
            )
        finally:
            voice.stop()


def _act(
    session: Session,
    cast: Cast,
    voice: Voice,
    console: Console,
    *,
    scenario: str | None,
    story: bool,
    interactive: bool,
) -> int:
    from pipelines.rehearsal import scenarios
    from pipelines.rehearsal.demo import live
    from pipelines.rehearsal.demo.story import Demo

    voice.plain(_addresses(cast))
    if scenario is not None:
        course = scenarios.play(scenarios.scenario(scenario), cast, voice, interactive=interactive)
        voice.plain(["", f"the report: {cast.report(course)}"], cut=False)
        if session.as_json:
            session.data("rehearse", {"scenario": scenario, "promotion": course.promotion})
        return 0
    if story:
        figures = Demo(cast, voice, interactive=interactive).run()
        if session.as_json:
            session.data("rehearse", {"figures": asdict(figures)})
        return 0
    cast.world.name_version("dana", "v2")
    console.print("\n".join(["", *_how_to_use(cast), ""]), markup=False, soft_wrap=True)
    if session.as_json:
        session.data("rehearse", {"environment": str(cast.world.folder / "environment.sh")})
    try:
        live.watch(cast, console, voice)
    except KeyboardInterrupt:
        return 0


def _addresses(cast: Cast) -> list[str]:
    world = cast.world
    rows = {
        "forge": f"{world.forge.git_url}",
        "change desk": f"{world.desk.url}",
        "Argo CD": f"{world.argocd.url}",
        "Prometheus": f"{world.prometheus.url}",
        "Envoy": f"{world.router.admin_url}",
        "callers": f"{world.rps:g} requests a second to {world.service_url}",
    }
    return ["", *(f"  {name:<12} {what}" for name, what in rows.items())]


def _how_to_use(cast: Cast) -> list[str]:
    """For people: accounts, and what to type in another terminal."""
    from pipelines.rehearsal.demo.acts import APPROVERS, ROLES

    world = cast.world
    accounts = [f"  {login:<6} {ROLES[login]:<17} password {world.tokens[login]}" for login in APPROVERS]
    return [
        f"v1 serves, and release.yaml names v2. Who signs on the change desk's page, {world.desk.url}:",
        *accounts,
        "In another terminal:",
        f"  source {world.folder / 'environment.sh'}",
        f'  lockgate promote {cast.model} --requested-by dana --reason "finds more fraud"',
        f"  lockgate status {cast.model} -w",
        "Ctrl-C ends the world.",
    ]


# ---------------------------------------------------------------------------- the rest


def _alone(session: Session, name: str, folder: Path) -> int:
    from pipelines.rehearsal import alone

    with ExitStack() as stack:
        facts = alone.start(name, folder, HOME / "artifacts", stack)
        if session.as_json:
            session.data("rehearse", {"server": name, "facts": facts})
        for what, value in facts.items():
            session.out(f"{what:<26} {value}")
        session.say("Ctrl-C ends it")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0


def _list(session: Session) -> None:
    from pipelines.rehearsal.alone import SERVERS
    from pipelines.rehearsal.scenarios import SCENARIOS

    if session.as_json:
        scenarios = {
            name: {"version": one.version, "sentence": one.sentence} for name, one in SCENARIOS.items()
        }
        servers = {name: sentence for name, (sentence, _) in SERVERS.items()}
        session.data("rehearse", {"scenarios": scenarios, "servers": servers})
    session.out("lockgate rehearse --scenario NAME")
    for name, one in SCENARIOS.items():
        session.out(f"  {name:<20} {one.sentence}")
    session.out("\nlockgate rehearse --only SERVER")
    for name, (sentence, _) in SERVERS.items():
        session.out(f"  {name:<20} {sentence}")
