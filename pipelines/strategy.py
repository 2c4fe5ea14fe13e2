"""From a release and its tier to a plan: ordered stages, each with its share, gates and times.

Pure. A plan is made once, when a promotion starts, and is kept in its journal: what was planned then
is what is carried out, whatever the tier says later.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from gates import registry
from gates.contract import Phase, Status, Verdict
from pipelines.errors import InvalidInput, Problem
from pipelines.spec.types import Environment, Release, Tier

StepName = Literal["propose", "preview", "judge", "merge", "shift", "bake", "approve", "finish"]

PREVIEW_VERDICT_VALID_SECONDS = 7 * 86400.0
"""A verdict on the preview older than this is judged again before the merge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a plan; its step is asked again and again until it is done."""

    name: str
    """Unique in the plan: ``propose``, ``shift-10``, ``bake-10`` …"""
    step: StepName
    share_percent: int
    """The share in force while the stage is under way; for a shift, the share it brings."""
    gates: tuple[str, ...] = ()
    informative: tuple[str, ...] = ()
    """Of its gates, those that are asked and shown and decide nothing."""
    weights: tuple[tuple[str, int], ...] = ()
    """Of its gates, those that count by a score together, each with its weight."""
    score_at_least_percent: int = 0
    """Of the weights' sum, that gates which PASS must bring together."""
    raises: bool = False
    """It merges or raises the share: a freeze or a person's hold stops it before it starts."""
    manual: bool = False
    """It waits for a person's word (``lockgate resume``) before it starts."""
    minimum_seconds: float = 0.0
    """Not done earlier than this after its share was seen."""
    maximum_seconds: float
    """Still WAIT this long after it began: the tier gives up."""
    every_seconds: float
    """How often its step is asked again."""
    warm_up_seconds: float = 0.0
    """Bake: what its gates leave out after the share was seen."""

    @property
    def required(self) -> tuple[str, ...]:
        """The gates that must each PASS, whatever the score is."""
        return tuple(
            gate for gate in self.gates if gate not in self.informative and gate not in dict(self.weights)
        )

    @property
    def deciding(self) -> tuple[str, ...]:
        """The gates that something follows from: the required ones and those with a weight."""
        return tuple(gate for gate in self.gates if gate not in self.informative)

    def named(self, gate: str) -> str:
        """A gate with its role, for people: ``load (informative)``, ``load (weight 2)``, or ``load``."""
        if gate in self.informative:
            return f"{gate} (informative)"
        weight = dict(self.weights).get(gate)
        return f"{gate} (weight {weight})" if weight else gate

    def status(self, statuses: Mapping[str, Status]) -> Status:
        """The worst of the required gates and the score; a gate that said nothing is WAIT."""
        said = [statuses.get(gate, Status.WAIT) for gate in self.required]
        return Status.worst([*said, self.score(statuses)] if self.weights else said)

    def score(self, statuses: Mapping[str, Status]) -> Status:
        """What the weighted gates make together: only a PASS brings its weight.

        PASS when the score is reached. Otherwise WAIT while gates that wait could still bring it there,
        UNKNOWN while those could that could not tell, and FAIL when nothing can any more.
        """
        needed = self.score_at_least_percent * self.weight_in_all
        allowed = ((worst, {one for one in Status if one <= worst}) for worst in Status)
        return next(worst for worst, counted in allowed if 100 * self.weight(statuses, counted) >= needed)

    def weight(self, statuses: Mapping[str, Status], counted: Container[Status]) -> int:
        """The weights of the gates with one of these statuses, added up."""
        return sum(weight for gate, weight in self.weights if statuses.get(gate, Status.WAIT) in counted)

    @property
    def weight_in_all(self) -> int:
        """All weights added up."""
        return sum(weight for _, weight in self.weights)

    def deciding_verdict(self, verdicts: Mapping[str, Verdict]) -> Verdict | None:
        """The verdict that makes the stage what it is; None when nothing that decides was said.

        It is the worst of the required gates, or the worst weighted one where the score is worse than
        that: told then as what the score says. A gate that the plan does not name counts as required.
        """
        weighted = dict(self.weights)
        required = [v for v in verdicts.values() if v.gate not in (*self.informative, *weighted)]
        worst = max(required, key=lambda verdict: verdict.status, default=None)
        scored = [verdict for verdict in verdicts.values() if verdict.gate in weighted]
        if not scored:
            return worst
        told = self._score_told(scored)
        return told if worst is None or told.status > worst.status else worst

    def _score_told(self, scored: Sequence[Verdict]) -> Verdict:
        statuses = {verdict.gate: verdict.status for verdict in scored}
        status = self.score(statuses)
        worst = max(scored, key=lambda verdict: verdict.status)
        percent = 100 * self.weight(statuses, {Status.PASS}) / self.weight_in_all
        return replace(
            worst,
            gate="score",
            status=status,
            reason="score_reached" if status is Status.PASS else "score_not_reached",
            sentence=(
                f"gates that pass bring {percent:.0f} % of the weights, "
                f"needed are {self.score_at_least_percent} %; the worst is {worst.gate}: {worst.sentence}"
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a promotion is going to do, in order."""

    strategy: Literal["canary", "blue_green", "pinned"]
    tier: str
    stages: tuple[Stage, ...]
    hold_budget_seconds: float
    on_budget_spent: Literal["roll_back", "hold"]
    supersede: Literal["queue", "replace", "refuse"]
    first: bool
    """No stable version serves yet: there is nothing to split with, so the first share is 100."""

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when the plan has none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def bake_of(self, share_percent: int) -> Stage | None:
        """The stage that watches a share; None when the plan watches none at it."""
        return next((s for s in self.stages if s.step == "bake" and s.share_percent == share_percent), None)

    def before(self, name: str) -> tuple[Stage, ...]:
        """The stages that must be done before the named one."""
        names = [stage.name for stage in self.stages]
        return self.stages[: names.index(name)]

    @property
    def needs_approval(self) -> bool:
        """Whether a change request stands before the last share."""
        return any(stage.step == "approve" for stage in self.stages)


def plan(release: Release, tier: Tier, environment: Environment, *, first: bool) -> Plan:
    """Make the plan of one promotion.

    Args:
        release: what is to be promoted.
        tier: the policy named by ``release.tier``.
        environment: where to.
        first: no version of the model serves there yet.

    Raises:
        InvalidInput: the tier asks for something the environment cannot give.
    """
    _check(release, environment, _by_phase(tier))
    return Plan(
        strategy=tier.strategy,
        tier=release.tier,
        stages=stages(tier, first=first, preview=environment.preview is not None),
        hold_budget_seconds=tier.hold_budget,
        on_budget_spent=tier.on_budget_spent,
        supersede=tier.supersede,
        first=first,
    )


def stages(tier: Tier, *, first: bool, preview: bool = True) -> tuple[Stage, ...]:
    """The stages of a tier, in order.

    Args:
        tier: the policy.
        first: no version serves yet.
        preview: the environment has another that runs candidates without live traffic.
    """
    return tuple(_stages(tier, _by_phase(tier), first=first, preview=preview))


def _by_phase(tier: Tier) -> Mapping[Phase, tuple[str, ...]]:
    phases: dict[Phase, tuple[str, ...]] = {"preview": (), "bake": (), "approve": ()}
    for name in tier.gates:
        phase = registry.gate_class(name).phase
        phases[phase] = (*phases[phase], name)
    return phases


def _check(release: Release, environment: Environment, gates: Mapping[Phase, tuple[str, ...]]) -> None:
    if gates["bake"] and environment.metrics is None:
        message = f"gates {', '.join(gates['bake'])} need metrics, and the environment names none"
        raise InvalidInput([Problem("platform.yaml", 0, f"tiers.{release.tier}", message)])


def _stages(
    tier: Tier, gates: Mapping[Phase, tuple[str, ...]], *, first: bool, preview: bool
) -> Iterator[Stage]:
    poll = min(tier.bake.look_every, 15.0)
    yield Stage(name="propose", step="propose", share_percent=0, maximum_seconds=86400.0, every_seconds=poll)
    if preview:
        yield Stage(
            name="preview",
            step="preview",
            share_percent=0,
            maximum_seconds=tier.preview_at_most,
            every_seconds=poll,
        )
    yield Stage(
        name="judge",
        step="judge",
        share_percent=0,
        **_judged_by(tier, gates["preview"]),
        maximum_seconds=tier.preview_at_most,
        every_seconds=poll,
    )
    shares = (100,) if first or tier.strategy != "canary" else tuple(s for s in tier.shares if s > 0)
    if first:
        yield from _approve(tier, gates["approve"], 0, poll)
    yield Stage(
        name="merge",
        step="merge",
        share_percent=0,
        raises=True,
        maximum_seconds=7 * 86400.0,
        every_seconds=poll,
    )
    if not first:
        yield _shift(tier, 0, poll)
    below = 0
    for share in shares:
        if share == 100 and not first:
            yield from _approve(tier, gates["approve"], below, poll)
        yield _shift(tier, share, poll)
        yield from _bake(tier, gates["bake"], share)
        below = share
    yield Stage(name="finish", step="finish", share_percent=100, maximum_seconds=86400.0, every_seconds=poll)


def _shift(tier: Tier, share: int, poll: float) -> Stage:
    return Stage(
        name=f"shift-{share}",
        step="shift",
        share_percent=share,
        raises=share > 0,
        manual=tier.strategy == "pinned" and share == 100,
        maximum_seconds=tier.sync_at_most,
        every_seconds=min(poll, 5.0),
    )


def _bake(tier: Tier, gates: tuple[str, ...], share: int) -> Iterator[Stage]:
    minimum = tier.soak if share == 100 else tier.bake.minimum
    if not gates and not minimum:
        return
    yield Stage(
        name=f"bake-{share}",
        step="bake",
        share_percent=share,
        **_judged_by(tier, gates),
        minimum_seconds=minimum,
        maximum_seconds=max(tier.bake.maximum, 2 * minimum),
        every_seconds=tier.bake.look_every,
        warm_up_seconds=tier.bake.warm_up,
    )


def _judged_by(tier: Tier, gates: tuple[str, ...]) -> dict[str, Any]:
    """The gates of one stage and what each counts for. A score is that of one stage's gates."""
    facts: dict[str, Any] = {"gates": gates}
    if informative := tuple(gate for gate in gates if gate in tier.informative):
        facts["informative"] = informative
    weights = tier.score.weights if tier.score else {}
    if tier.score and (here := tuple((gate, weights[gate]) for gate in gates if gate in weights)):
        facts |= {"weights": here, "score_at_least_percent": tier.score.at_least_percent}
    return facts


def _approve(tier: Tier, gates: tuple[str, ...], share: int, poll: float) -> Iterator[Stage]:
    if tier.approval is None:
        return
    yield Stage(
        name="approve",
        step="approve",
        share_percent=share,
        gates=gates,
        maximum_seconds=tier.approval.wait_at_most,
        every_seconds=tier.approval.ask_every,
    )


def to_data(plan: Plan) -> dict[str, Any]:
    """A plan as JSON values."""
    return asdict(plan)


def from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that :func:`to_data` wrote; TypeError when a key is missing or unknown."""
    return Plan(**{**data, "stages": tuple(map(_stage_from_data, data["stages"]))})


def _stage_from_data(data: Mapping[str, Any]) -> Stage:
    lists: dict[str, Any] = {key: tuple(data.get(key, ())) for key in ("gates", "informative")}
    weights = tuple((gate, weight) for gate, weight in data.get("weights", ()))
    return Stage(**{**data, **lists, "weights": weights})
