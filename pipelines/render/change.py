"""Whether one set of a model's files may follow another.

KServe takes edits for commands: leaving a share out is a rollout, lowering it from 100 brings the version
before last back, and any other edit of the pods' template makes a revision that costs the way back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from gates.policy import NotPlain, read
from pipelines.errors import Problem, RenderRefused
from pipelines.render.record import FILE as RECORD
from pipelines.render.record import Serves, serves_of

FILE = "inferenceservice.yaml"
_MODE = "serving.kserve.io/deploymentMode"


def check_change(before: Mapping[str, str], after: Mapping[str, str], *, rollback: bool = False) -> None:
    """Judge a change of one model's files in one environment.

    Args:
        rollback: the change is meant to take the candidate away from live requests.

    Raises:
        RenderRefused: it does something else than it looks like; says what, and what to write instead.
    """
    was, will = serves_of(before), serves_of(after)
    if was is None:
        return
    problems = tuple(_deletion(was, after, rollback=rollback))
    if not problems and will is not None:
        problems = (
            *_share(was, will, rollback=rollback),
            *_template(was, will, before, after),
            *_others(was, will, before, after),
        )
    if problems:
        raise RenderRefused(problems)


def _deletion(was: Serves, after: Mapping[str, str], *, rollback: bool) -> Iterator[Problem]:
    present = [path for path in after if path.rsplit("/", 1)[-1] == FILE]
    if rollback and was.stable is None and not after:
        return
    if not present or serves_of(after) is None:
        hint = "abort is a share of 0; only the first version ever has nothing to go back to"
        yield Problem(FILE, 0, "", "deleting a model's files is no abort", hint)


def _share(was: Serves, will: Serves, *, rollback: bool) -> Iterator[Problem]:
    same = was.candidate is not None and _uri(was.candidate) == _uri(will.candidate)
    aborted = was.candidate is not None and was.share_percent != 100 and will.candidate is None
    if aborted and _uri(will.stable) == _uri(was.stable):
        hint = "write share 0 and leave the candidate named until the next one comes"
        yield Problem(FILE, 0, "", "removing the candidate's share is no abort: KServe may promote it", hint)
    elif aborted and _uri(will.stable) == _uri(was.candidate):
        hint = "bring it to 100 first, with its approval"
        yield Problem(FILE, 0, "", f"makes the candidate stable at {was.share_percent} %", hint)
    if rollback and will.candidate is not None and will.share_percent != 0:
        yield Problem(FILE, 0, "", f"a rollback to {will.share_percent} %", "a rollback goes to 0")
    lowered = was.share_percent == 100 and will.share_percent < 100
    unchanged = same or (was.candidate is None and _uri(was.stable) == _uri(will.candidate))
    if lowered and unchanged and not rollback:
        message = f"lowers the share from 100 to {will.share_percent} without a new artifact"
        hint = "that sends live requests back to an older version; say that it is a rollback, or leave it"
        yield Problem(FILE, 0, "", message, hint)
    both = will.stable is not None and will.candidate is not None
    if both and not unchanged and 0 != will.share_percent == was.share_percent:
        message = f"puts a new artifact under a share of {will.share_percent} % that was another's"
        yield Problem(
            FILE, 0, "", message, "change artifact and share in one commit; a candidate begins at 0"
        )


def _template(
    was: Serves, will: Serves, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Problem]:
    old, new = _service(before), _service(after)
    if _mode(old) != _mode(new):
        hint = "KServe refuses it; the model has to be made anew under another name"
        yield Problem(FILE, 0, "metadata.annotations", f"goes from {_mode(old)} to {_mode(new)} mode", hint)
        return
    alone = was.candidate is None and will.candidate is None
    if alone or (was.promotion != will.promotion and _artifact(old) != _artifact(new)):
        return
    differing = sorted(_differences(_rest(old), _rest(new)))
    if differing:
        hint = "it makes a new revision, and the way back is lost; change it while there is no candidate"
        yield Problem(FILE, 0, differing[0], "changes while the artifact or the promotion is the same", hint)


def _others(
    was: Serves, will: Serves, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Problem]:
    """What lies beside both files, such as alerts, is written when a promotion begins and then left alone."""
    if was.promotion != will.promotion:
        return
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path) and path.rsplit("/", 1)[-1] not in (FILE, RECORD):
            yield Problem(path, 0, "", "changes during a promotion", "change it while there is no candidate")


def _uri(version: Any) -> str | None:
    return version.uri if version is not None else None


def _service(files: Mapping[str, str]) -> dict[str, Any]:
    path = next(path for path in sorted(files) if path.rsplit("/", 1)[-1] == FILE)
    try:
        document = read(files[path]).data
        document["spec"]["predictor"]["model"]["storageUri"]
        document["metadata"]["annotations"][_MODE]
    except NotPlain as error:
        raise RenderRefused([Problem(path, error.line, "", str(error))]) from error
    except (TypeError, KeyError) as error:
        raise RenderRefused([Problem(path, 0, "", "is no InferenceService that lockgate wrote")]) from error
    found: dict[str, Any] = document
    return found


def _mode(service: Mapping[str, Any]) -> Any:
    return service["metadata"]["annotations"][_MODE]


def _artifact(service: Mapping[str, Any]) -> Any:
    return service["spec"]["predictor"]["model"]["storageUri"]


def _rest(service: dict[str, Any]) -> dict[str, Any]:
    """An InferenceService without what a promotion changes: artifacts, shares, and whose turn it is.

    A candidate's entry is held as what it adds to the stable: nothing, when it is as we render it.
    """
    rest = copy.deepcopy(service)
    predictor = rest["spec"]["predictor"]
    predictor.pop("canaryTrafficPercent", None)
    predictor.pop("name", None)
    predictor["model"].pop("storageUri")
    rest["spec"].pop("canary", None)
    return rest


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield path
        return
    for key in old.keys() | new.keys():
        yield from _differences(old.get(key), new.get(key), f"{path}.{key}".removeprefix("."))
