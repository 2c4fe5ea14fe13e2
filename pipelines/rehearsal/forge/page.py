"""The page where people look at a pull request. Every value on it is data, never markup."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from pipelines.rehearsal.forge.rules import GOOD_ENOUGH
from pipelines.rehearsal.forge.state import Check, Pull
from pipelines.rehearsal.forge.world import World

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1f2328;background:#f6f8fa;margin:0}
main{max-width:52rem;margin:2rem auto;background:#fff;padding:1.5rem 2rem}
main{border:1px solid #d1d9e0;border-radius:8px}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1rem;margin:1.5rem 0 .4rem}small,.faint{color:#59636e}
.badge{display:inline-block;border-radius:1em;padding:.1em .8em;color:#fff;font-weight:600;font-size:.85rem}
.open{background:#1f883d}.merged{background:#8250df}.closed{background:#cf222e}
table{border-collapse:collapse;width:100%}
td{border-top:1px solid #d1d9e0;padding:.35rem .5rem .35rem 0;vertical-align:top}
.good{color:#1a7f37}.bad{color:#cf222e}.wait{color:#9a6700}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}
pre{background:#f6f8fa;border-radius:6px;padding:.8rem}
code{font-size:.85em}
@media print{body{background:#fff}main{border:0}}
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def render(world: World, pull: Pull) -> str:
    """The whole page for one pull request."""
    state = "merged" if pull.merged else pull.state
    title = f"{escape(pull.title)} <small>#{pull.number}</small>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{escape(pull.title)} · #{pull.number} · {escape(world.repository)}</title>"
        f"<style>{_STYLE}</style><main><p class=faint>{escape(world.repository)}</p><h1>{title}</h1>"
        f"<p><span class='badge {state}'>{state}</span> {_who(pull)}</p>"
        f"<h2>Merge</h2><p>{_merge(world, pull)}</p>"
        f"<h2>Checks of <code>{pull.head_sha[:10]}</code></h2>{_checks(world.state.latest(pull.head_sha))}"
        f"<h2>Reviews</h2>{_reviews(world, pull)}"
        f"<h2>Description</h2><pre>{escape(pull.body) or '–'}</pre>{_comments(world, pull)}"
        f"<h2>Files</h2>{_files(world, pull)}</main></html>"
    )


def _who(pull: Pull) -> str:
    return (
        f"<b>{escape(pull.author)}</b> wants to merge <code>{escape(pull.head)}</code> into "
        f"<code>{escape(pull.base)}</code>"
    )


def _merge(world: World, pull: Pull) -> str:
    if pull.merged:
        by = f" by {escape(pull.merged_by)}" if pull.merged_by else ""
        return f"Merged{by} as <code>{escape(pull.merge_sha or '')}</code>."
    if pull.state == "closed":
        return "Closed without merging."
    if world.content.merged_tree(pull.base_sha, pull.head_sha) is None:
        return "<span class=bad>Conflicts with the base branch.</span>"
    missing = world.rules.missing(pull)
    return "<br>".join(escape(sentence) for sentence in missing) or "<span class=good>Ready to merge.</span>"


def _checks(checks: list[Check]) -> str:
    rows = []
    for check in checks:
        kind = "good" if check.state in GOOD_ENOUGH else "wait" if check.state == "pending" else "bad"
        name = escape(check.context)
        if urlsplit(check.target_url).scheme in ("http", "https"):
            name = f"<a href='{escape(check.target_url)}' rel=noreferrer>{name}</a>"
        cells = (f"<td class={kind}>{escape(check.state)}", f"<td>{name}", f"<td>{escape(check.description)}")
        rows.append("<tr>" + "".join(cells))
    return f"<table>{''.join(rows)}</table>" if rows else "<p class=faint>Nothing reported yet.</p>"


def _reviews(world: World, pull: Pull) -> str:
    rows = [
        f"<tr><td>{escape(review.login)}<td>{escape(review.state.lower().replace('_', ' '))}"
        f"<td><code>{escape(review.commit[:10])}</code><td>{escape(review.body)}"
        for review in world.state.reviews_of(pull.number)
    ]
    return f"<table>{''.join(rows)}</table>" if rows else "<p class=faint>None yet.</p>"


def _comments(world: World, pull: Pull) -> str:
    return "".join(
        f"<h2>{escape(comment.login)} wrote</h2><pre>{escape(comment.body)}</pre>"
        for comment in world.state.comments
        if comment.pull == pull.number
    )


def _files(world: World, pull: Pull) -> str:
    if pull.merged:
        return "<p class=faint>Merged: see the commit.</p>"
    return "".join(
        f"<p><code>{escape(file['filename'])}</code> <span class=good>+{file['additions']}</span> "
        f"<span class=bad>−{file['deletions']}</span></p><pre>{escape(file['patch'])}</pre>"
        for file in world.content.files(pull.base_sha, pull.head_sha)
    )
