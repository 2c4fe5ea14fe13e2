"""Alerts beside the manifests, once the platform team wants them: applied by Argo CD, changed by no stage."""

from __future__ import annotations

import pytest
import yaml

from pipelines.journal.events import ShareCommitted
from tests.stories.telling import Story
from tests.stories.town import MANIFESTS

pytestmark = pytest.mark.slow

ALERTS = f"{MANIFESTS}/alerts.yaml"


def test_alerts_come_with_a_promotion_and_stay_as_they_came(story: Story) -> None:
    """The merge brings them, every share leaves them, and the cluster has them as they are written."""
    town = story.town
    town.write_rules(shares=[50, 100])
    rules = yaml.safe_load(town.git("oscar").read("platform.yaml", "main") or "")
    rules["environments"]["prod"]["metrics"]["alerts"] = {"labels": {"release": "kube-prometheus"}}
    town.push("oscar", "main", {"platform.yaml": yaml.safe_dump(rules)}, subject="alerts")
    told = story.promote(town.version())
    state = told.drive()

    assert state.ended is not None
    assert state.ended.outcome == "promoted", told.story()
    commits = [event.commit for event in told.events(ShareCommitted)]
    texts = {town.git("oscar").read(ALERTS, commit) for commit in (*commits, "main")}
    (text,) = texts
    assert text is not None
    assert yaml.safe_load(text)["kind"] == "PrometheusRule"
    story.holds()
