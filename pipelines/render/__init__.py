"""Renders what an environment should serve, and the texts people read about it.

Pure: values in, text out; the same input gives the same bytes. Nothing here reads a clock, a network or
anything but the templates. ``manifests`` and ``record`` make the files Argo CD applies, ``change`` judges a
step from one set of files to the next, ``texts`` writes pull requests, change requests and comments,
``edits`` the comment on a pull request of people's.
"""

from pipelines.render.change import check_change
from pipelines.render.edits import edits_text
from pipelines.render.manifests import manifest_digest, namespace, predictor_name, render
from pipelines.render.record import Serves, serves_of
from pipelines.render.texts import change_text, pull_request_text, rollback_text, verdict_table

__all__ = [
    "Serves",
    "change_text",
    "check_change",
    "edits_text",
    "manifest_digest",
    "namespace",
    "predictor_name",
    "pull_request_text",
    "render",
    "rollback_text",
    "serves_of",
    "verdict_table",
]
