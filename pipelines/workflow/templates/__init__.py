"""Everything that Argo Workflows is told, as files: text by path, the same bytes for the same platform.yaml.

The only folder that knows Hera. ``promotion`` writes a tier's template, ``machinery`` what keeps promotions
going, ``pods`` what all pods have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml
from hera.workflows import CronWorkflow, WorkflowTemplate
from hera.workflows.models import WorkflowEventBinding
from yaml.representer import SafeRepresenter

from pipelines.spec.types import Platform
from pipelines.workflow.graph import template_of
from pipelines.workflow.templates import machinery
from pipelines.workflow.templates.pods import PART_OF, SETTINGS, Pods, settings
from pipelines.workflow.templates.promotion import promotion

# Hera gives every YAML dumper of the process another way to write text. What other modules write must not
# depend on whether this one was imported before.
for _dumper in (yaml.Dumper, SafeRepresenter):
    _dumper.add_representer(str, SafeRepresenter.represent_str)

COLUMNS = 110
HEAD = "# Written by `lockgate workflow render`; what is changed here by hand is lost.\n"
IMAGE = "lockgate.dev/image"
"""Annotation of the settings: the image all was rendered with, and is again unless another is named."""
UNPUBLISHED = f"ghcr.io/example-bank/lockgate:0.1.0@sha256:{'0' * 64}"
"""Until somebody names an image of their own."""


def files(platform: Platform, tiers: Mapping[str, Sequence[str]], *, image: str) -> dict[str, str]:
    """Every rendered file: name -> text.

    Args:
        platform: platform.yaml.
        tiers: tier -> its models, which are the choices of its form.
        image: what all pods run.

    Raises:
        InvalidInput: platform.yaml refers to secrets that cannot be brought into a pod.
    """
    pods = Pods(image=image, platform=platform)
    previews = {one.preview for one in platform.environments.values()}
    environments = [name for name in platform.environments if name not in previews]
    held = {"settings.yaml": _text(_settings(platform, image))}
    for name, tier in platform.tiers.items():
        made = promotion(name, tier, pods, models=tiers.get(name, ()), environments=environments)
        held[f"{template_of(name)}.yaml"] = _all(made)
    held["sweep.yaml"] = _all(*machinery.sweep(pods))
    held["wanted.yaml"] = _all(*machinery.wanted(pods))
    held["events.yaml"] = _all(*machinery.bindings())
    held["kustomization.yaml"] = _text(_kustomization(held))
    return {name: HEAD + text for name, text in held.items()}


def image_of(settings_text: str) -> str:
    """The image that was rendered with, as the settings file says; "" where none does."""
    document = yaml.safe_load(settings_text) or {}
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(IMAGE, ""))


def _settings(platform: Platform, image: str) -> dict[str, object]:
    metadata = {"name": SETTINGS, "labels": {PART_OF: "machinery"}, "annotations": {IMAGE: image}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings(platform)}


def _kustomization(names: Mapping[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(names),
    }


def _all(*objects: WorkflowTemplate | CronWorkflow | WorkflowEventBinding) -> str:
    return "---\n".join(
        _text(one.model_dump(exclude_none=True, by_alias=True))
        if isinstance(one, WorkflowEventBinding)
        else one.to_yaml(allow_unicode=True, width=COLUMNS)
        for one in objects
    )


def _text(document: Mapping[str, object]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=COLUMNS)
