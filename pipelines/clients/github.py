"""GitHub and GitHub Enterprise Server, by PyGithub: pull requests, commit statuses, merges.

Only reads are sent again after a failure. A create or a merge whose answer was lost is looked for first,
so nothing is made twice. All that PyGithub and requests raise is turned into our errors in one place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from urllib.parse import urlsplit

import requests
from github import Auth, Github, GithubIntegration, GithubRetry
from github.GithubException import (
    BadAttributeException,
    BadCredentialsException,
    BadUserAgentException,
    GithubException,
    IncompletableObject,
    RateLimitExceededExceedsMaxWait,
    RateLimitExceededException,
    TwoFactorException,
    UnknownObjectException,
)
from github.GithubObject import NotSet
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest as GithubPullRequest
from github.Repository import Repository

from pipelines.errors import AccessDenied, CouldNotTell, LockgateError, Misbehaved, Refused, Unreachable
from pipelines.ports import Finding, Merge, PullRequest

SYSTEM = "github"
API_VERSION = "2022-11-28"
_READS_AT_MOST = 3
_RATE_LIMIT_WAIT_SECONDS = 5
_DESCRIPTION_AT_MOST = 140
_COMMENT_AT_MOST = 65_000
_NEEDED_BY_APP = ("contents", "pull_requests", "statuses")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_MARKER = re.compile(r"(?!.*--)[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,150}")

MEANINGS: dict[type[Exception], type[CouldNotTell] | None] = {
    BadCredentialsException: AccessDenied,
    TwoFactorException: AccessDenied,
    BadUserAgentException: AccessDenied,
    RateLimitExceededExceedsMaxWait: Unreachable,
    RateLimitExceededException: Unreachable,
    UnknownObjectException: Misbehaved,
    IncompletableObject: Misbehaved,
    BadAttributeException: Misbehaved,
    GithubException: None,
    requests.Timeout: Unreachable,
    requests.ConnectionError: Unreachable,
    requests.exceptions.RetryError: Unreachable,
    requests.exceptions.ChunkedEncodingError: Unreachable,
    requests.RequestException: Misbehaved,
}
"""What each exception means, the first that fits; None: its HTTP status says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCredentials:
    """A GitHub App installation; ``private_key`` is the PEM text."""

    app_id: int
    installation_id: int
    private_key: str = field(repr=False)


class GithubForge:
    """One repository on GitHub.

    ``auth`` is a token or an App installation. ``required_reviews`` is how many approving reviews of the
    present head a pull request needs here, whatever the branch protection asks. ``login`` is the account
    that writes, for a token that GitHub does not tell it: that of a job of GitHub Actions.
    """

    def __init__(
        self, *, api_url: str, repository: str, auth: str | AppCredentials, required_reviews: int,
        timeout_seconds: float = 20, login: str = "",
    ) -> None:  # fmt: skip
        self._api_url = api_url.rstrip("/")
        self._name = repository
        self._required_reviews = required_reviews
        self._login = login
        self._timeout_seconds = max(math.ceil(timeout_seconds), 1)
        self._app = auth if isinstance(auth, AppCredentials) else None
        self._auth = _auth(auth)
        self._github = Github(
            auth=self._auth, base_url=self._api_url, timeout=self._timeout_seconds, per_page=100,
            retry=_retry(), seconds_between_requests=0, seconds_between_writes=0, api_version=API_VERSION,
        )  # fmt: skip

    def git_token(self) -> str:
        """A token good for git now; an App's is renewed before it expires."""
        with self._asking("issue a token"):
            return self._auth.token

    def disconnect(self) -> None:
        """Close the connections; the next question opens new ones."""
        self._github.close()

    # ------------------------------------------------------------ pull requests

    def find_pull_request(self, branch: str) -> PullRequest | None:
        """The newest pull request from this branch of our own repository, open or not."""
        with self._asking(f"list pull requests from {branch}"):
            owner = self._name.partition("/")[0]
            listed = self._repo.get_pulls(
                state="all", head=f"{owner}:{branch}", sort="created", direction="desc"
            )
            ours = [pull.number for pull in listed.get_page(0) if self._is_ours(pull, branch)]
        return self.pull_request(max(ours)) if ours else None

    def _is_ours(self, pull: GithubPullRequest, branch: str) -> bool:
        # A filter GitHub does not understand is ignored, and a fork may use the same branch name.
        home = pull.head.repo
        return pull.head.ref == branch and home is not None and home.full_name.lower() == self._name.lower()

    def number_of(self, *, owner: str, branch: str, base: str, head_sha: str) -> int | None:
        """The open pull request from a branch, be it of a fork, whose head is this commit; None: no such."""
        with self._asking(f"list pull requests from {owner}:{branch}"):
            listed = self._repo.get_pulls(state="open", head=f"{owner}:{branch}", base=base).get_page(0)
            found = [pull.number for pull in listed if pull.head.sha == head_sha and pull.base.ref == base]
        return found[0] if len(found) == 1 else None

    def open_pull_request(self, *, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open one; adopts the open one when GitHub has it already or its answer was lost.

        Raises:
            Refused: GitHub will not: no such branch, nothing to merge.
        """
        try:
            with self._asking(f"open a pull request from {branch}"):
                number = self._repo.create_pull(
                    base, branch, title=title[:256], body=body[:_COMMENT_AT_MOST]
                ).number
        except Refused as refused:
            if "already exists" not in refused.sentence:
                raise
            return self._adopted(branch, refused)
        except CouldNotTell as lost:
            return self._adopted(branch, lost)
        return self.pull_request(number)

    def _adopted(self, branch: str, failure: LockgateError) -> PullRequest:
        found = self.find_pull_request(branch)
        if found is None or found.state != "open":
            raise failure
        return found

    def pull_request(self, number: int) -> PullRequest:
        """Read one afresh."""
        with self._asking(f"read pull request #{number}"):
            return self._copied(self._repo.get_pull(number))

    def _copied(self, pull: GithubPullRequest) -> PullRequest:
        state: Literal["open", "closed", "merged"] = (
            "merged" if pull.merged else "open" if pull.state == "open" else "closed"
        )
        head, base, author = pull.head.sha, pull.base.sha, _login(pull)
        if not (isinstance(pull.number, int) and _SHA.fullmatch(head) and _SHA.fullmatch(base)):
            raise Misbehaved(SYSTEM, f"a pull request of {self._name} came without its number or commits")
        approvals = _approvals(pull, head, author)
        return PullRequest(
            number=pull.number, url=pull.html_url, author=author, head_sha=head, base_sha=base, state=state,
            merge_sha=pull.merge_commit_sha if state == "merged" else "", approvals=approvals,
            mergeable=self._mergeable(pull, approvals),
            merged_by=pull.merged_by.login if state == "merged" and pull.merged_by else "",
        )  # fmt: skip

    def _mergeable(
        self, pull: GithubPullRequest, approvals: tuple[str, ...]
    ) -> Literal["yes", "no", "blocked", "unknown"]:
        if pull.mergeable is False:
            return "no"
        if pull.draft or pull.mergeable_state in ("blocked", "behind", "draft"):
            return "blocked"
        if pull.mergeable is None or pull.mergeable_state == "unknown":
            return "unknown"
        return "yes" if len(approvals) >= self._required_reviews else "blocked"

    # ------------------------------------------------------------ writing

    def set_status(
        self, sha: str, *, name: str, state: Literal["success", "pending", "failure", "error"],
        sentence: str, url: str,
    ) -> None:  # fmt: skip
        """Write a commit status, unless it reads that way already.

        GitHub keeps 140 characters of the sentence; a longer one is cut and ends in "…".
        """
        short = (
            sentence if len(sentence) <= _DESCRIPTION_AT_MOST else sentence[: _DESCRIPTION_AT_MOST - 1] + "…"
        )
        with self._asking(f"write the status {name} of {sha[:10]}"):
            commit = self._repo.get_commit(sha)
            now = {seen.context: seen for seen in commit.get_combined_status().statuses}.get(name)
            if now and (now.state, now.description or "", now.target_url or "") == (state, short, url):
                return
            commit.create_status(state, url or NotSet, short, name)

    def merge(self, number: int, *, head_sha: str, title: str, body: str) -> Merge:
        """Merge exactly this head by a merge commit; a lost answer is resolved by reading again."""
        with self._asking(f"read pull request #{number}"):
            pull = self._repo.get_pull(number)
            seen = self._copied(pull)
        if hindrance := self._hindrance(seen, head_sha):
            return hindrance
        try:
            with self._asking(f"merge pull request #{number}"):
                done = pull.merge(body, title, "merge", head_sha)
        except Refused as refused:
            if refused.reason not in ("github_405", "github_409"):
                raise
            return self._after(number, head_sha, refused.sentence)
        except (Unreachable, Misbehaved) as lost:
            return self._after(number, head_sha, f"{lost}; it is not merged yet")
        if done.merged is not True or not _SHA.fullmatch(done.sha or ""):
            return self._after(number, head_sha, "GitHub did not say that it merged")
        return Merge(outcome="merged", sha=done.sha, sentence=f"#{number} is merged")

    def _hindrance(self, seen: PullRequest, head_sha: str) -> Merge | None:
        """Why there is nothing to ask GitHub for, or what is merged already; None: go on."""
        which = f"#{seen.number}"
        if seen.state == "merged" and seen.head_sha == head_sha:
            by = f" by {seen.merged_by}" if seen.merged_by else ""
            return Merge(outcome="merged", sha=seen.merge_sha, sentence=f"{which} is merged{by}")
        if seen.state == "merged":
            other = f"{which} was merged at {seen.head_sha[:10]}, not at the judged {head_sha[:10]}"
            return Merge(outcome="refused", sha=seen.merge_sha, sentence=other)
        if seen.state == "closed":
            return Merge(outcome="refused", sentence=f"{which} was closed without merging")
        if seen.head_sha != head_sha:
            moved = f"{which} moved to {seen.head_sha[:10]} after {head_sha[:10]} was judged"
            return Merge(outcome="head_moved", sentence=moved)
        if seen.mergeable == "no":
            return Merge(outcome="refused", sentence=f"{which} conflicts with its base branch")
        missing = self._required_reviews - len(seen.approvals)
        if missing > 0:
            short = f"{which} has {len(seen.approvals)} of {self._required_reviews} approving reviews"
            return Merge(outcome="not_ready", sentence=short)
        return None

    def _after(self, number: int, head_sha: str, sentence: str) -> Merge:
        """What came of a merge that GitHub refused, or whose answer was lost."""
        seen = self.pull_request(number)
        return self._hindrance(seen, head_sha) or Merge(outcome="not_ready", sentence=sentence)

    def close(self, number: int) -> None:
        """Close without merging; already closed is fine.

        Raises:
            Refused: it is merged.
        """
        with self._asking(f"close pull request #{number}"):
            pull = self._repo.get_pull(number)
            if pull.merged:
                raise Refused("already_merged", f"#{number} is merged and cannot be closed")
            if pull.state == "open":
                pull.edit(state="closed")

    def comment(self, number: int, *, marker: str, body: str, begin: bool = True) -> None:
        """Write or rewrite our one comment that begins with this hidden marker; 65,000 characters at most.

        Without ``begin`` one that is there is rewritten, and none is written anew.
        """
        if not _MARKER.fullmatch(marker):
            raise Refused("unsafe_name", f"{marker[:80]!r} cannot be a hidden marker")
        text = f"<!-- {marker} -->\n{body}"[:_COMMENT_AT_MOST]
        with self._asking(f"comment on pull request #{number}"):
            pull = self._repo.get_pull(number)
            ours = [seen for seen in pull.get_issue_comments() if self._wrote(seen, marker)]
            if not ours and begin:
                pull.create_issue_comment(text)
            elif ours and ours[0].body != text:
                ours[0].edit(text)

    def _wrote(self, seen: IssueComment, marker: str) -> bool:
        begins = (seen.body or "").startswith(f"<!-- {marker} -->")
        return begins and seen.user is not None and seen.user.login == self._own_login

    # ------------------------------------------------------------------- doctor

    def diagnose(self) -> tuple[Finding, ...]:
        """Reach, version, rights and the settings the promotion relies on."""
        try:
            with self._asking("read the repository"):
                fresh = self._github.get_repo(self._name)
                version = fresh.raw_headers.get("x-github-enterprise-version")
                reach = f"{self._api_url} answers" + (f" (Enterprise Server {version})" if version else "")
                findings = [_finding("reach", True, reach), self._rights(fresh), self._merge_commits(fresh)]
                return (*findings, self._protection(fresh))
        except LockgateError as error:
            advice = "check api_url, the network and the credentials"
            return (_finding("reach", False, str(error), advice),)

    def _rights(self, repository: Repository) -> Finding:
        if self._app is None:
            good = bool(repository.permissions and repository.permissions.push)
            sentence = f"the token of {self._own_login} may {'' if good else 'not '}write"
            return _finding("rights", good, sentence, "give the account write access to the repository")
        with GithubIntegration(auth=_app_auth(self._app), base_url=self._api_url, retry=_retry()) as app:
            granted = app.get_app_installation(self._app.installation_id).permissions
        missing = [name for name in _NEEDED_BY_APP if granted.get(name) != "write"]
        sentence = (
            f"the App may not write: {', '.join(missing)}" if missing else "the App may write what it needs"
        )
        return _finding(
            "rights", not missing, sentence, f"grant the App write on {', '.join(_NEEDED_BY_APP)}"
        )

    def _merge_commits(self, repository: Repository) -> Finding:
        allowed = repository.allow_merge_commit
        sentence = "merge commits are allowed" if allowed else "merge commits are not allowed, or not shown"
        return _finding(
            "settings", True if allowed else None, sentence, "allow merge commits in its settings"
        )

    def _protection(self, repository: Repository) -> Finding:
        branch = repository.get_branch(repository.default_branch)
        sentence = f"{branch.name} is {'' if branch.protected else 'not '}protected"
        advice = "protect it: require the gates' statuses and a review, let only the App push"
        return _finding("settings", bool(branch.protected), sentence, advice)

    # ------------------------------------------------------------------- inside

    @cached_property
    def _repo(self) -> Repository:
        return self._github.get_repo(self._name)

    @cached_property
    def _own_login(self) -> str:
        if self._login:
            return self._login
        if self._app is None:
            return self._github.get_user().login
        with GithubIntegration(auth=_app_auth(self._app), base_url=self._api_url, retry=_retry()) as app:
            return f"{app.get_app().slug}[bot]"

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """The one place where what PyGithub raises becomes one of our errors."""
        try:
            yield
        except LockgateError:
            raise
        except Exception as error:
            raise translated(error, f"could not {doing} in {self._name}") from None


def translated(error: Exception, what: str) -> LockgateError:
    """One of our errors for anything PyGithub lets out; ``what`` begins the sentence."""
    meaning = next((value for kind, value in MEANINGS.items() if isinstance(error, kind)), Misbehaved)
    if meaning is not None:
        return meaning(SYSTEM, f"{what}: {_sentence(error)}")
    status = error.status if isinstance(error, GithubException) else 0
    if status >= 500 or status in (408, 429):
        return Unreachable(SYSTEM, f"{what}: {_sentence(error)}")
    if status in (401, 403):
        return AccessDenied(SYSTEM, f"{what}: {_sentence(error)}; check the credentials and their rights")
    if status == 404 or status < 400:
        return Misbehaved(SYSTEM, f"{what}: {_sentence(error)}")
    return Refused(f"github_{status}", f"GitHub {what}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    """GitHub's own words where it gave any, on one line."""
    if not isinstance(error, GithubException):
        return _one_line(f"{type(error).__name__}: {error}")
    data = error.data if isinstance(error.data, dict) else {}
    details = data.get("errors")
    words = [str(data.get("message") or error.message or "no reason given")]
    words += [_detail(one) for one in details] if isinstance(details, list) else []
    hint = "; not there, or not visible with these credentials" if error.status == 404 else ""
    return f"{_one_line(' – '.join(word for word in words if word))} (HTTP {error.status}){hint}"


def _detail(one: object) -> str:
    return str(one.get("message") or one.get("field", "")) if isinstance(one, dict) else str(one)


def _one_line(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()[:300]


def _finding(what: str, good: bool | None, sentence: str, advice: str = "") -> Finding:
    return Finding(system=SYSTEM, what=what, good=good, sentence=sentence, advice="" if good else advice)


def _login(pull: GithubPullRequest) -> str:
    return pull.user.login if pull.user else "ghost"


def _approvals(pull: GithubPullRequest, head: str, author: str) -> tuple[str, ...]:
    """Accounts, not the author, whose latest verdict approves this very head."""
    latest: dict[str, bool] = {}
    for review in pull.get_reviews():
        if review.user and review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            latest[review.user.login] = review.state == "APPROVED" and review.commit_id == head
    return tuple(sorted(login for login, approves in latest.items() if approves and login != author))


def api_of(git_url: str) -> str:
    """The API beside a repository: of github.com, of a tenant at ghe.com, or of an Enterprise Server."""
    parts = urlsplit(git_url)
    if parts.hostname == "github.com" or (parts.hostname or "").endswith(".ghe.com"):
        return f"https://api.{parts.hostname}"
    return f"{parts.scheme}://{parts.netloc}/api/v3"


def _auth(auth: str | AppCredentials) -> Auth.Token | Auth.AppInstallationAuth:
    if isinstance(auth, str):
        return Auth.Token(auth)
    return Auth.AppInstallationAuth(_app_auth(auth), auth.installation_id)


def _app_auth(credentials: AppCredentials) -> Auth.AppAuth:
    """Proof that we are the App.

    Raises:
        AccessDenied: the key cannot sign; the key itself is not shown.
    """
    try:
        auth = Auth.AppAuth(credentials.app_id, credentials.private_key)
        auth.create_jwt()
    except Exception as error:
        reason = f"the App's private key cannot be used ({type(error).__name__}); give its PEM text"
        raise AccessDenied(SYSTEM, reason) from None
    return auth


def _retry() -> GithubRetry:
    # POST, PUT and PATCH are never repeated blindly; waits asked for by the server are left to the caller.
    return GithubRetry(
        total=_READS_AT_MOST - 1, allowed_methods={"GET"}, backoff_factor=0.2,
        respect_retry_after_header=False,
        max_rate_limit_wait=_RATE_LIMIT_WAIT_SECONDS,
    )  # fmt: skip
