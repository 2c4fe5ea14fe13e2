"""The plan of a promotion that has not begun, drawn from files alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.cli import choosing
from pipelines.cli.judging import foresight
from pipelines.cli.session import Session
from pipelines.cli.tree import PLATFORM, Tree, tree_of
from pipelines.decide import frozen
from pipelines.errors import InvalidInput, Problem
from pipelines.render import serves_of
from pipelines.reports.words import span
from pipelines.spec.edits import COLUMNS
from pipelines.spec.read import read_platform, read_release
from pipelines.spec.types import Platform, Release, Tier, Version
from pipelines.strategy import Plan, Stage, plan, to_data
from pipelines.wiring import SystemClock


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan as it is shown."""

    data: dict[str, Any]
    head: list[str]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    foot: list[str]


def planned(session: Session, model: str, asked: choosing.Asked, to: str | None) -> Drawn:
    """Plan a promotion from the files of the working tree, or of main.

    Raises:
        InvalidInput: the files or what was asked cannot be used.
    """
    tree = tree_of(session)
    platform, release = wanted(tree, model)
    environment = choosing.environment(platform, to)
    release = release.model_copy(update={"version": choosing.version(asked, release, lambda: None, session)})
    held = serves_of(tree.files(f"clusters/{environment}/{release.tenant}/{release.model}"))
    return draw(platform, release, environment, held.stable if held else None)


def draw(platform: Platform, release: Release, environment: str, stable: Version | None) -> Drawn:
    """The plan of a release's version, where ``stable`` serves now.

    Raises:
        InvalidInput: there can be none.
    """
    tier = platform.tiers[release.tier]
    made = plan(release, tier, platform.environments[environment], first=stable is None)
    return Drawn(
        data=_data(release, environment, stable, made, tier),
        head=_head(release, environment, stable, made),
        columns=COLUMNS,
        rows=[_row(stage, tier) for stage in made.stages],
        foot=[*_foot(platform, environment, made), *foresight(made, release, tier)],
    )


def wanted(tree: Tree, model: str) -> tuple[Platform, Release]:
    """platform.yaml and a model's release.yaml.

    Raises:
        InvalidInput: either is absent or cannot be used; an unknown model names the nearest.
    """
    platform_text = tree.read(PLATFORM)
    if platform_text is None:
        raise InvalidInput([Problem(PLATFORM, 0, "", "is missing", "`lockgate init` writes one")])
    path = f"models/{model}/release.yaml"
    release_text = tree.read(path) if "/" not in model and ".." not in model else None
    if release_text is None:
        raise choosing.unknown_model(model, tree.models())
    platform = read_platform(platform_text, PLATFORM)
    return platform, read_release(release_text, path, platform)


def _data(
    release: Release, environment: str, stable: Version | None, made: Plan, tier: Tier
) -> dict[str, Any]:
    return {
        "model": release.model,
        "environment": environment,
        "candidate": release.version.model_dump(),
        "stable": stable.model_dump() if stable else None,
        "plan": to_data(made),
        "approval": tier.approval.model_dump() if tier.approval and made.needs_approval else None,
    }


def _head(release: Release, environment: str, stable: Version | None, made: Plan) -> list[str]:
    now = f"{stable.label} serves now" if stable else "nothing serves there yet, so it starts at 100 %"
    return [
        f"{release.model} {release.version.label} to {environment}: tier {made.tier}, "
        f"{made.strategy.replace('_', '/')}; {now}",
        "",
    ]


def _row(stage: Stage, tier: Tier) -> tuple[str, ...]:
    needs = []
    if stage.step == "approve" and tier.approval is not None:
        needs.append(f"a {tier.approval.type} change, approved")
    if stage.manual:
        needs.append("a person's word: lockgate resume")
    if stage.raises:
        needs.append("no freeze, no hold")
    return (
        stage.name,
        f"{stage.share_percent} %",
        ", ".join(map(stage.named, stage.gates)) or "-",
        span(stage.minimum_seconds) if stage.minimum_seconds else "-",
        span(stage.maximum_seconds),
        span(stage.every_seconds),
        "; ".join(needs) or "-",
    )


def _foot(platform: Platform, environment: str, made: Plan) -> list[str]:
    spent = "goes back to 0 %" if made.on_budget_spent == "roll_back" else "holds until somebody decides"
    lines = [
        "",
        f"When nothing can be told for {span(made.hold_budget_seconds)} in all, it {spent}.",
        f"A newer version that arrives on the way: {made.supersede}.",
    ]
    after = platform.environments[environment].after
    if after:
        lines.append(f"The version must have ended at 100 % in {after} first.")
    now = SystemClock().now()
    lines += [
        f"Frozen now: {freeze.reason}." for freeze in platform.freezes if frozen(freeze, environment, now)
    ]
    return lines
