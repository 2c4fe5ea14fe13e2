"""Everything that Argo Workflows is told, as files: text by path, the same bytes for the same platform.yaml.

The only folder that knows Hera. ``promotion`` writes a tier's template, ``machinery`` what keeps promotions
going, ``pods`` what all pods have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipelines.spec.types import Platform
from pipelines.workflow.graph import template_of
from pipelines.workflow.templates import machinery
from pipelines.workflow.templates.pods import PART_OF, SETTINGS, Pods, settings
from pipelines.workflow.templates.promotion import promotion

HEAD = "# Written by `lockgate workflow render`; what is changed here by hand is lost.\n"
IMAGE = "lockgate.dev/image"
"""Annotation of the settings: the image all was rendered with, and is again unless another is named."""
UNPUBLISHED = "registry.example.com/lockgate:unpublished"
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
    held: dict[str, list[dict[str, Any]]] = {"settings.yaml": [_settings(platform, image)]}
    for name, tier in platform.tiers.items():
        made = promotion(name, tier, pods, models=tiers.get(name, ()), environments=environments)
        held[f"{template_of(name)}.yaml"] = [made.to_dict()]
    held["sweep.yaml"] = [one.to_dict() for one in machinery.sweep(pods)]
    held["wanted.yaml"] = [one.to_dict() for one in machinery.wanted(pods)]
    held["events.yaml"] = [one.model_dump(exclude_none=True, by_alias=True) for one in machinery.bindings()]
    held["kustomization.yaml"] = [_kustomization(held)]
    return {name: HEAD + _text(objects) for name, objects in held.items()}


def image_of(settings_text: str) -> str:
    """The image that was rendered with, as the settings file says; "" where none does."""
    document = yaml.safe_load(settings_text) or {}
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(IMAGE, ""))


def _settings(platform: Platform, image: str) -> dict[str, Any]:
    metadata = {"name": SETTINGS, "labels": {PART_OF: "machinery"}, "annotations": {IMAGE: image}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings(platform)}


def _kustomization(names: Mapping[str, object]) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(names),
    }


def _text(objects: Sequence[dict[str, Any]]) -> str:
    return "---\n".join(_documents(objects))


def _documents(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    for one in objects:
        yield yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=110)
