"""REST routes for pull requests: create, read, review, comment, merge."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from pipelines.rehearsal.forge.rest import actor, body, invalid, paged
from pipelines.rehearsal.forge.rules import Denied
from pipelines.rehearsal.forge.state import Comment, Pull, Review, stamp
from pipelines.rehearsal.forge.world import World

_EVENTS = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


def pull_routes(api: Blueprint, world: World) -> None:
    """List, create, read, edit."""
    state, shapes = world.state, world.shapes

    @api.get(f"{world.prefix}/pulls")
    def pulls() -> Response:
        with state.lock:
            found = [world.rules.refresh(pull) for pull in state.pulls.values()]
        ascending = request.args.get("direction") == "asc"
        found.sort(key=lambda pull: pull.number, reverse=not ascending)
        return paged([shapes.pull(pull) for pull in found if _asked_for(pull)])

    def _asked_for(pull: Pull) -> bool:
        asked = request.args
        owner, colon, branch = asked.get("head", "").partition(":")
        # Without an owner GitHub ignores the filter, so a careless caller gets everybody's.
        from_there = not colon or (owner == world.repository.partition("/")[0] and branch == pull.head)
        return (
            asked.get("state", "open") in ("all", pull.state)
            and asked.get("base", pull.base) == pull.base
            and from_there
        )

    @api.post(f"{world.prefix}/pulls")
    def create() -> tuple[Response, int]:
        with state.lock:
            pull = open_pull(world, body(), actor().login)
            state.pulls[pull.number] = pull
            state.save()
            return jsonify(whole(world, pull)), 201

    @api.get(f"{world.prefix}/pulls/<int:number>")
    def read(number: int) -> Response:
        with state.lock:
            return jsonify(whole(world, world.pull(number)))

    @api.patch(f"{world.prefix}/pulls/<int:number>")
    def edit(number: int) -> Response:
        with state.lock:
            _edit(world, world.pull(number), body())
            return jsonify(whole(world, world.pull(number)))

    @api.get(f"{world.prefix}/pulls/<int:number>/files")
    def pull_files(number: int) -> Response:
        pull = world.pull(number)
        return paged(world.content.files(pull.base_sha, pull.head_sha))

    @api.get(f"{world.prefix}/pulls/<int:number>/commits")
    def pull_commits(number: int) -> Response:
        pull = world.pull(number)
        entries = world.content.commits(f"{pull.base_sha}..{pull.head_sha}")[::-1]
        return paged([shapes.commit(entry) for entry in entries])


def whole(world: World, pull: Pull) -> dict[str, Any]:
    """A pull request read by itself."""
    files = world.content.files(pull.base_sha, pull.head_sha)
    commits = world.content.count(pull.base_sha, pull.head_sha)
    return world.shapes.whole_pull(pull, world.rules.look(pull), commits=commits, files=files)


def open_pull(world: World, sent: dict[str, Any], login: str) -> Pull:
    """A new pull request, numbered but not yet kept.

    Raises:
        Denied: 422 for an unknown branch, a second one for the same branches, or nothing to merge.
    """
    owner = world.repository.partition("/")[0]
    head, base = str(sent.get("head", "")).removeprefix(f"{owner}:"), str(sent.get("base", ""))
    head_sha, base_sha = world.content.sha(f"refs/heads/{head}"), world.content.sha(f"refs/heads/{base}")
    if not sent.get("title"):
        raise invalid("PullRequest", "title", "missing_field")
    if base_sha is None or head_sha is None:
        raise invalid("PullRequest", "base" if base_sha is None else "head")
    same = [
        world.rules.refresh(pull)
        for pull in world.state.pulls.values()
        if (pull.head, pull.base) == (head, base)
    ]
    if any(pull.state == "open" for pull in same):
        raise _custom(f"A pull request already exists for {owner}:{head}.")
    if world.content.count(base_sha, head_sha) == 0:
        raise _custom(f"No commits between {base} and {head}")
    return Pull(
        number=max(world.state.pulls, default=0) + 1, author=login, draft=bool(sent.get("draft")),
        title=str(sent["title"]), body=str(sent.get("body") or ""),
        head=head, base=base, head_sha=head_sha, base_sha=base_sha,
    )  # fmt: skip


def _custom(message: str) -> Denied:
    return Denied(
        422, "Validation Failed", [{"resource": "PullRequest", "code": "custom", "message": message}]
    )  # fmt: skip


def _edit(world: World, pull: Pull, sent: dict[str, Any]) -> None:
    if sent.get("state") not in (None, "open", "closed"):
        raise invalid("PullRequest", "state")
    if sent.get("state") == "open" and pull.merged:
        raise _custom("state cannot be changed. The pull request was merged.")
    pull.title, pull.body = str(sent.get("title", pull.title)), str(sent.get("body", pull.body))
    if sent.get("state") == "closed" and pull.state == "open":
        world.rules.close(pull)
    elif sent.get("state") == "open":
        pull.state, pull.closed_at = "open", None
    world.state.save()


def merge_routes(api: Blueprint, world: World) -> None:
    """Is it merged, and merge it."""
    state = world.state

    @api.get(f"{world.prefix}/pulls/<int:number>/merge")
    def merged(number: int) -> tuple[str, int]:
        if not world.pull(number).merged:
            raise Denied(404, "Not Found")
        return "", 204

    @api.put(f"{world.prefix}/pulls/<int:number>/merge")
    def merge(number: int) -> Response:
        sent = body()
        with state.lock:
            pull = world.pull(number)
            title = sent.get("commit_title") or f"Merge pull request #{number} from {pull.head}"
            message = f"{title}\n\n{sent.get('commit_message') or ''}".strip() + "\n"
            sha = world.rules.merge(
                pull, sha=sent.get("sha"), method=sent.get("merge_method", "merge"), message=message,
                login=actor().login,
            )  # fmt: skip
        return jsonify({"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


def review_routes(api: Blueprint, world: World) -> None:
    """Reviews."""
    state, shapes = world.state, world.shapes

    @api.get(f"{world.prefix}/pulls/<int:number>/reviews")
    def reviews(number: int) -> Response:
        return paged([shapes.review(review) for review in state.reviews_of(world.pull(number).number)])

    @api.post(f"{world.prefix}/pulls/<int:number>/reviews")
    def new_review(number: int) -> Response:
        sent = body()
        with state.lock:
            pull = world.pull(number)
            verdict = _EVENTS.get(str(sent.get("event", "COMMENT")))
            if verdict is None:
                raise invalid("PullRequestReview", "event")
            if verdict != "COMMENTED" and pull.author == actor().login:
                what = "approve" if verdict == "APPROVED" else "request changes on"
                raise Denied(422, "Unprocessable Entity", [f"Can not {what} your own pull request"])
            review = Review(
                id=state.next_id(), pull=number, login=actor().login, state=verdict,
                body=str(sent.get("body") or ""), commit=str(sent.get("commit_id") or pull.head_sha),
            )  # fmt: skip
            state.reviews.append(review)
            state.save()
        return jsonify(shapes.review(review))


def comment_routes(api: Blueprint, world: World) -> None:
    """Comments on the pull request as a whole."""
    state, shapes = world.state, world.shapes

    @api.get(f"{world.prefix}/issues/<int:number>/comments")
    def comments(number: int) -> Response:
        world.pull(number)
        return paged([shapes.comment(comment) for comment in state.comments if comment.pull == number])

    @api.post(f"{world.prefix}/issues/<int:number>/comments")
    def new_comment(number: int) -> tuple[Response, int]:
        text = _text(body())
        with state.lock:
            world.pull(number)
            comment = Comment(id=state.next_id(), pull=number, login=actor().login, body=text)
            state.comments.append(comment)
            state.save()
        return jsonify(shapes.comment(comment)), 201

    @api.patch(f"{world.prefix}/issues/comments/<int:key>")
    def edit_comment(key: int) -> Response:
        text = _text(body())
        with state.lock:
            found = next((comment for comment in state.comments if comment.id == key), None)
            if found is None:
                raise Denied(404, "Not Found")
            if found.login != actor().login:
                raise Denied(403, "Resource not accessible by this account")
            found.body, found.at = text, stamp()
            state.save()
        return jsonify(shapes.comment(found))


def _text(sent: dict[str, Any]) -> str:
    text = sent.get("body")
    if not isinstance(text, str) or not text.strip():
        raise invalid("IssueComment", "body", "missing_field")
    if len(text) > 65536:
        raise invalid("IssueComment", "body", "too_long")
    return text
