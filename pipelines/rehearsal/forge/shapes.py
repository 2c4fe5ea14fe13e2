"""The JSON of GitHub's answers, every URL on the forge's own host under the Enterprise prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.rehearsal.forge.content import DEFAULT_BRANCH, Entry
from pipelines.rehearsal.forge.rules import Mergeability
from pipelines.rehearsal.forge.state import Check, Comment, Pull, Review

Json = dict[str, Any]


class Shapes:
    """Turns what the forge holds into what GitHub would say."""

    def __init__(self, url: str, repository: str, user: Callable[[str, str], Json]) -> None:
        self.web = f"{url}/{repository}"
        self.api = f"{url}/api/v3"
        self.repo_api = f"{self.api}/repos/{repository}"
        self.repository_name = repository
        self._user = user

    def user(self, login: str) -> Json:
        """An account."""
        return self._user(login, self.api)

    def repository(self) -> Json:
        """The repository, as somebody with write access sees it."""
        owner, _, name = self.repository_name.partition("/")
        return {
            "id": 1, "name": name, "full_name": self.repository_name, "private": True, "fork": False,
            "owner": {**self.user(owner), "type": "Organization"},
            "url": self.repo_api, "html_url": self.web, "clone_url": f"{self.web}.git",
            "default_branch": DEFAULT_BRANCH, "archived": False, "disabled": False,
            "allow_merge_commit": True, "allow_squash_merge": True, "allow_rebase_merge": True,
            "permissions": {"admin": False, "push": True, "pull": True},
        }  # fmt: skip

    def ref(self, branch: str, sha: str) -> Json:
        """A git ref."""
        commit = {"type": "commit", "sha": sha, "url": f"{self.repo_api}/git/commits/{sha}"}
        return {
            "ref": f"refs/heads/{branch}",
            "url": f"{self.repo_api}/git/refs/heads/{branch}",
            "object": commit,
        }

    def branch(self, name: str, sha: str, *, protected: bool) -> Json:
        """A branch."""
        return {
            "name": name,
            "protected": protected,
            "commit": {"sha": sha, "url": f"{self.repo_api}/commits/{sha}"},
            "protection_url": f"{self.repo_api}/branches/{name}/protection",
        }

    def commit(self, entry: Entry) -> Json:
        """A commit."""
        person = {"name": entry.author, "email": entry.email, "date": entry.date}
        url = f"{self.repo_api}/commits/{entry.sha}"
        tree = {"sha": entry.tree, "url": f"{self.repo_api}/git/trees/{entry.tree}"}
        parents = [{"sha": sha, "url": f"{self.repo_api}/commits/{sha}"} for sha in entry.parents]
        detail = {"author": person, "committer": person, "message": entry.message, "tree": tree, "url": url}
        html_url = f"{self.web}/commit/{entry.sha}"
        return {"sha": entry.sha, "url": url, "html_url": html_url, "commit": detail, "parents": parents}

    # ------------------------------------------------------------ pull requests

    def pull(self, pull: Pull) -> Json:
        """A pull request as lists show it: without mergeability."""
        url = f"{self.repo_api}/pulls/{pull.number}"
        issue = f"{self.repo_api}/issues/{pull.number}"
        return {
            "id": pull.number, "number": pull.number, "url": url, "html_url": self.pull_page(pull.number),
            "issue_url": issue, "comments_url": f"{issue}/comments", "commits_url": f"{url}/commits",
            "statuses_url": f"{self.repo_api}/statuses/{pull.head_sha}",
            "state": pull.state, "locked": False, "draft": pull.draft, "title": pull.title, "body": pull.body,
            "user": self.user(pull.author), "created_at": pull.created_at, "updated_at": pull.updated_at,
            "closed_at": pull.closed_at, "merged_at": pull.closed_at if pull.merged else None,
            "merge_commit_sha": pull.merge_sha,
            "head": self._end(pull.head, pull.head_sha), "base": self._end(pull.base, pull.base_sha),
        }  # fmt: skip

    def whole_pull(self, pull: Pull, look: Mergeability, *, commits: int, files: list[Json]) -> Json:
        """A pull request read by itself."""
        return {
            **self.pull(pull), "merged": pull.merged, "mergeable": look.mergeable,
            "rebaseable": look.mergeable, "mergeable_state": look.state,
            "merged_by": self.user(pull.merged_by) if pull.merged_by else None,
            "commits": commits, "changed_files": len(files),
            "additions": sum(file["additions"] for file in files),
            "deletions": sum(file["deletions"] for file in files),
        }  # fmt: skip

    def pull_page(self, number: int) -> str:
        """Where people read a pull request."""
        return f"{self.web}/pull/{number}"

    def _end(self, branch: str, sha: str) -> Json:
        owner = self.repository_name.partition("/")[0]
        repository = self.repository()
        return {
            "label": f"{owner}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": repository["owner"],
            "repo": repository,
        }

    def review(self, review: Review) -> Json:
        """A review."""
        page = self.pull_page(review.pull)
        return {
            "id": review.id, "user": self.user(review.login), "body": review.body, "state": review.state,
            "commit_id": review.commit, "submitted_at": review.at,
            "html_url": f"{page}#review-{review.id}",
            "pull_request_url": f"{self.repo_api}/pulls/{review.pull}",
        }  # fmt: skip

    def comment(self, comment: Comment) -> Json:
        """A comment."""
        return {
            "id": comment.id, "user": self.user(comment.login), "body": comment.body,
            "created_at": comment.at, "updated_at": comment.at,
            "url": f"{self.repo_api}/issues/comments/{comment.id}",
            "html_url": f"{self.pull_page(comment.pull)}#comment-{comment.id}",
            "issue_url": f"{self.repo_api}/issues/{comment.pull}",
        }  # fmt: skip

    # ------------------------------------------------------------------- checks

    def status(self, check: Check) -> Json:
        """A commit status."""
        return {
            "id": check.id, "state": check.state, "context": check.context, "description": check.description,
            "target_url": check.target_url or None, "created_at": check.at, "updated_at": check.at,
            "creator": self.user(check.login), "url": f"{self.repo_api}/statuses/{check.sha}",
        }  # fmt: skip

    def combined(self, sha: str, checks: list[Check]) -> Json:
        """All statuses of a commit as one."""
        states = {check.state for check in checks}
        worst = (
            "failure" if states & {"failure", "error"} else "pending" if states != {"success"} else "success"
        )
        return {
            "sha": sha, "state": worst, "total_count": len(checks), "repository": self.repository(),
            "statuses": [self.status(check) for check in checks],
            "url": f"{self.repo_api}/commits/{sha}/status", "commit_url": f"{self.repo_api}/commits/{sha}",
        }  # fmt: skip

    def check_run(self, check: Check) -> Json:
        """A check run; no conclusion while it is pending."""
        done = check.state != "pending"
        return {
            "id": check.id, "name": check.context, "head_sha": check.sha,
            "status": "completed" if done else "in_progress", "conclusion": check.state if done else None,
            "started_at": check.at, "completed_at": check.at if done else None,
            "url": f"{self.repo_api}/check-runs/{check.id}", "html_url": check.target_url or None,
            "output": {"title": None, "summary": check.description, "text": None},
        }  # fmt: skip

    def protection(self, branch: str, rules: Json) -> Json:
        """Branch protection the way GitHub returns it, which is not the way it is sent."""
        url = f"{self.repo_api}/branches/{branch}/protection"
        shape: Json = {
            "url": url,
            "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": bool(rules.get("enforce_admins"))},
        }
        for off in ("required_linear_history", "allow_force_pushes", "allow_deletions"):
            shape[off] = {"enabled": False}
        if checks := rules.get("required_status_checks"):
            here = f"{url}/required_status_checks"
            pinned = [{"context": context, "app_id": None} for context in checks["contexts"]]
            shape["required_status_checks"] = {
                "url": here, "contexts_url": f"{here}/contexts", **checks, "checks": pinned,
            }  # fmt: skip
        if reviews := rules.get("required_pull_request_reviews"):
            shape["required_pull_request_reviews"] = {
                "url": f"{url}/required_pull_request_reviews",
                **reviews,
            }
        return shape
