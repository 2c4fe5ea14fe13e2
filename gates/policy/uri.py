"""URIs of artifacts that cannot change under us."""

from __future__ import annotations

import re

_MOVING = {"latest", "main", "master", "head", "stable", "prod", "production"}


def uri_problem(uri: str) -> str:
    """Why a URI does not name one immutable artifact; "" when it does, as far as its text can tell."""
    if not re.match(r"(s3|gs|oci|pvc|https)://[^\s/]|file:///[^\s]", uri):
        return "is of no kind that is served: s3, gs, oci, pvc, https or file"
    if re.search(r"[^!-~]|[{}$`\"'\\|<>^]", uri) or ".." in uri.split("/"):
        return "holds spaces, quotes, braces, `$` or `..`"
    rest = uri.split("://", 1)[1]
    if uri.startswith("oci://"):
        fixed = re.search(r"@sha256:[0-9a-f]{64}$", uri)
        return "" if fixed else "names a tag, which can be moved, and no digest"
    if "@" in rest.split("/", 1)[0]:
        return "holds a user or password"
    parts = [part for part in re.split(r"[/:@?#]", rest.lower()) if part]
    if "latest" in parts or parts[-1] in _MOVING:
        return "names something that moves, not one version"
    return ""


def last_part(uri: str) -> str:
    """The last part of a URI's path: for Triton, the model's name in every inference call."""
    return uri.rstrip("/").rsplit("/", 1)[-1]
