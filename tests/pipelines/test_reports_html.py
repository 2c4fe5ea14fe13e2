"""The HTML report: one file that fetches nothing, runs nothing, tells what happened, and escapes everything.

The golden files are kept byte for byte; LOCKGATE_REGENERATE=1 writes them anew, never where CI is set.
How they look is seen by opening them in a browser.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gates.contract import Measurement, Status
from pipelines.journal import events as e
from pipelines.journal.lines import decode
from pipelines.reports.html import report
from pipelines.reports.story import approver_rows, instant, timeline
from tests import plans, promotions
from tests.plans import T0, canary, commit, done, share_events, up_to_merge

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "reports"
CASES: Mapping[str, Callable[[], promotions.Book]] = {
    "good": promotions.good,
    "rolled-back": promotions.rolled_back,
    "refused": promotions.refused,
}
VOID = {"meta", "br", "link", "img", "input", "hr"}
PLANTED = {
    "markup": promotions.MARKUP,
    "terminal": promotions.TERMINAL,
    "markdown": promotions.MARKDOWN,
    "template": "{{ 7 * 7 }}{% for x in y %}",
    "attribute": '" onclick="alert(1)" x=\'',
    "surrogate": "half \ud800 of a pair",
    "endless": "x" * 100_000,
}


class Read(HTMLParser):
    """A page taken apart; a tag closed out of order is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


def read(book: promotions.Book) -> Read:
    return Read(report(book.lines))


def begun(**changes: object) -> promotions.Book:
    return promotions.Book(replace(plans.started(canary()), **changes))


@pytest.mark.parametrize("case", CASES)
def test_reports_are_as_kept(case: str) -> None:
    """Same journal, same bytes; the difference in review is the point."""
    page = report(CASES[case]().lines)
    path = GOLDEN / f"{case}.html"
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        assert "CI" not in os.environ, "golden files are never regenerated in CI"
        path.write_bytes(page.encode())
    assert path.read_bytes().decode() == page


def test_the_sample_journals_are_sound() -> None:
    """What is reported here is what a store would hand out: every hash holds."""
    for case in CASES.values():
        book = case()
        lines = decode(book.promotion, book.text)
        assert [line.hash for line in lines] == [line.hash for line in book.lines]
        assert report(lines) == report(book.lines)


def test_nothing_is_kept_that_is_not_tested() -> None:
    """A golden page without a case would never be looked at again."""
    assert {path.stem for path in GOLDEN.glob("*.html")} == set(CASES)


def test_an_empty_journal_has_no_report() -> None:
    """There is nothing to tell."""
    with pytest.raises(ValueError, match="empty journal"):
        report(())


# --------------------------------------------------------------------- one sound file


@pytest.mark.parametrize("case", CASES)
def test_a_page_stands_alone(case: str) -> None:
    """No script, no fetch, and a policy that would stop both."""
    page = report(CASES[case]().lines)
    taken = Read(page)
    assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in taken.tags}
    assert taken.values("src") == []
    assert all(href.startswith("https://") for href in taken.values("href"))
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in taken.values("content")


@pytest.mark.parametrize("case", CASES)
def test_a_page_can_be_read_without_seeing_it(case: str) -> None:
    """Language, headings, unique ids, and words for every picture."""
    taken = read(CASES[case]())
    ids = taken.values("id")
    assert len(ids) == len(set(ids))
    assert taken.tags[0] == ("html", {"lang": "en"})
    assert [tag for tag, _ in taken.tags].count("h1") == 1
    pictures = [attrs for tag, attrs in taken.tags if tag == "svg" and "aria-hidden" not in attrs]
    assert pictures
    for attrs in pictures:
        assert attrs["role"] == "img"
        assert set(attrs["aria-labelledby"].split()) <= set(ids)
    assert all(set(value.split()) <= set(ids) for value in taken.values("aria-labelledby"))


@pytest.mark.parametrize("name", PLANTED)
def test_hostile_values_are_data(name: str) -> None:
    """The page has the same tags and attributes, whatever the values are."""
    harmless = read(promotions.hostile("harmless"))
    taken = read(promotions.hostile(PLANTED[name]))
    assert [tag for tag, _ in taken.tags] == [tag for tag, _ in harmless.tags]
    assert [sorted(attrs) for _, attrs in taken.tags] == [sorted(attrs) for _, attrs in harmless.tags]
    assert taken.values("href") == []
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", taken.text)


def test_hostile_values_can_still_be_read() -> None:
    """Escaped, not dropped: an auditor sees what was written."""
    assert promotions.MARKUP in read(promotions.hostile(promotions.MARKUP)).text
    assert "{{ 7 * 7 }}" in read(promotions.hostile("{{ 7 * 7 }}")).text


def test_commands_quote_what_people_wrote() -> None:
    """A model's name cannot add a command to the line that an auditor copies."""
    taken = read(begun(model="x; rm -rf $HOME", promotion="p'; true"))
    assert "git show 'FETCH_HEAD:x; rm -rf $HOME/p'\"'\"'; true.jsonl'" in taken.text


# ---------------------------------------------------------------------------- words


def test_a_good_promotion_in_plain_words() -> None:
    """What serves now, who asked, who approved, what it rests on."""
    said = read(promotions.good()).text
    assert "v38 serves every live request to fraud-scorer in prod." in said
    assert "dana asked for it on 2026-03-14 09:00:00 UTC: “better recall”." in said
    assert "Before it, v37 served. rita.okafor approved CHG0030117." in said
    for digest in (plans.DIGEST, plans.OTHER_DIGEST, promotions.CORRELATION, promotions.MANIFESTS):
        assert digest in said


def test_a_rollback_in_plain_words() -> None:
    """What went wrong with its numbers, how fast it was at zero, and what a person still has to do."""
    said = read(promotions.rolled_back()).text
    assert "v38 was taken back to 0 %; v37 serves every live request to fraud-scorer in prod." in said
    assert "Why it went back: slo: 5.00 % of 320 candidate requests were slow (2.26 to 10.68)" in said
    assert "From that decision to 0 % in force it took 1.7 s." in said
    assert "remove the preview: argocd: no answer within 10 s" in said
    assert "It never came to 100 %, for which an approved change is needed." in said


def test_a_refusal_says_that_no_live_request_was_reached() -> None:
    """The difference a risk owner cares for."""
    said = read(promotions.refused()).text
    assert "v38 was stopped before any live request reached it" in said
    assert "Refused before live traffic" in said
    assert "approval of the change never asked for" in said
    assert "Failed and slow requests" not in said


def test_a_promotion_under_way_says_how_far() -> None:
    """A report may be asked for at any time."""
    said = read(promotions.waiting()).text
    assert "v38 is on its way: it has 50 % of live requests to fraud-scorer in prod." in said
    assert "approval of the change not given" in said
    going_back = promotions.waiting().tell(e.RollbackBegan(code="x", sentence="it was slow."))
    said = read(going_back).text
    assert "v38 is being taken back to 0 % of fraud-scorer in prod." in said
    assert "it was slow. " in said
    assert "it was slow.." not in said


@pytest.mark.parametrize(
    ("outcome", "word"), [("aborted", "Ended by a person"), ("superseded", "Superseded")]
)
def test_ends_that_a_person_or_a_newer_version_brought(outcome: str, word: str) -> None:
    """Each has its word."""
    ended = e.Ended(outcome=outcome, sentence="over")  # type: ignore[arg-type]
    assert word in read(begun().tell(e.AbortAsked(person="otto", reason="no"), ended)).text


def test_the_first_version_has_nothing_before_it() -> None:
    """There is no stable version to name, and the merge alone brings all requests."""
    plan = canary(first=True)
    book = promotions.Book(replace(plans.started(plan), stable=None))
    book.tell(*up_to_merge(), e.RollbackBegan(code="x", sentence="bad"))
    book.tell(e.Ended(outcome="rolled_back", sentence="over"))
    said = read(book).text
    assert "v38 was taken back to 0 %; nothing serves fraud-scorer in prod." in said
    assert "highest share of live requests 100 %" in said
    by_hand = promotions.Book(replace(plans.started(plan), stable=None)).tell(plans.PROPOSED)
    by_hand.tell(e.RollbackBegan(code="merged_by_hand", sentence="bad"))
    by_hand.tell(e.ShareCommitted(stage="roll_back", share_percent=0, commit=commit(0)))
    by_hand.tell(e.Ended(outcome="refused", sentence="over"))
    assert "before any live request" not in read(by_hand).text
    promoted = promotions.Book(replace(plans.started(plan), stable=None))
    assert (
        "It is the first version there."
        in read(promoted.tell(e.Ended(outcome="promoted", sentence="serves"))).text
    )


def test_a_plan_without_approval_asks_for_none() -> None:
    """And says so."""
    plan = canary(stages=tuple(stage for stage in canary().stages if stage.step != "approve"))
    book = promotions.Book(plans.started(plan)).tell(e.Ended(outcome="refused", sentence="no"))
    said = read(book).text
    assert "approval of the change not needed" in said
    assert "for which an approved change is needed" not in said


def test_an_approval_of_other_content_approves_nothing() -> None:
    """The sentence of a verdict that does not count names nobody as approver."""
    book = begun().tell(*up_to_merge(), *share_events(10), *share_events(50))
    promotions.ask_for_approval(book)
    assert "approval of the change not given" in read(book).text
    book.tell(promotions.approval(book, Status.PASS, approved_at=T0))
    assert "approval of the change rita.okafor" in read(book).text
    book.tell(e.Rebased(stable=None, plan=plans.started(canary()).plan))
    moved = book.tell(e.ShareCommitted(stage="shift-50", share_percent=50, commit=commit(51)))
    said = read(moved).text
    assert "approval of the change not given" in said
    assert "This verdict is about other content than was promoted: it did not count." in said


def test_a_change_that_was_never_judged_is_shown_as_such() -> None:
    """The journal may end right after it was opened; an adopted change has no line of intent."""
    opened = e.ChangeOpened(correlation_id="c" * 64, number="CHG9", url="http://127.0.0.1/9")
    taken = read(begun().tell(opened))
    assert "The change was opened and never judged." in taken.text
    assert "http://127.0.0.1/9" in taken.values("href")
    assert "digest of the manifests" not in taken.text


def test_a_registry_alias_is_named_with_what_it_stood_for() -> None:
    """Both are recorded, so both are shown."""
    version = {**plans.started(canary()).candidate, "alias": "models:/fraud@champion"}
    said = read(begun(candidate=version)).text
    assert "resolved from models:/fraud@champion –" in said


# -------------------------------------------------------------------------- pictures


def test_holds_and_freezes_are_drawn_and_told() -> None:
    """A person's hold lasts until their word; a freeze until it is over, or the promotion goes back."""
    book = begun().after(5).tell(e.Held(person="otto", reason="payday"), by="person:otto")
    book.tell(e.Held(person="rita", reason="me too"), by="person:rita")
    book.after(5).tell(e.FreezeBegan(stage="merge", sentence="frozen until it is lifted: year end"))
    book.after(10).tell(e.FreezeEnded(stage="merge"))
    book.tell(e.Resumed(person="otto", stage="shift-100"), by="person:otto")
    book.after(10).tell(e.FreezeBegan(stage="merge", sentence="frozen until it is lifted: again"))
    book.after(10).tell(e.RollbackBegan(code="aborted", sentence="otto ended it"))
    book.after(20).tell(plans.PROPOSED)
    said = Read(report(book.lines)).text
    assert "held by otto: payday, 2026-03-14 09:00:05 UTC to 2026-03-14 09:01:00 UTC" in said
    assert "frozen until it is lifted: year end, 2026-03-14 09:00:10 UTC to 2026-03-14 09:00:20 UTC" in said
    assert "frozen until it is lifted: again, 2026-03-14 09:00:30 UTC to 2026-03-14 09:00:40 UTC" in said
    assert "nothing is frozen any more before merge" in said
    assert "me too, 2026" not in said


def test_numbers_that_are_none_are_left_out_of_the_pictures() -> None:
    """A look that could not count draws no point at 0, and no requests are made up."""
    book = begun().tell(*up_to_merge(), *share_events(10))
    nothing = (
        Measurement(name="slow_share", value=None, unit="percent", arm="candidate", samples=0),
        Measurement(name="slow_share", value=True, arm="candidate"),
        Measurement(name="slow_share", value=1.0, unit="percent"),
        Measurement(name="observed_share", value=None, unit="percent", arm="candidate", samples=0),
    )
    verdict = promotions.says(
        book, "slo", "bake-10", Status.WAIT, "few", "few", commit=commit(10), measurements=nothing
    )
    said = read(book.tell(verdict)).text
    assert "Failed and slow requests" not in said
    assert "live requests to the candidate counted by the gates –" in said


def test_a_verdict_about_another_digest_is_in_no_picture() -> None:
    """It is about something else."""
    book = begun().tell(plans.PROPOSED)
    other = plans.judged("slo", "bake-10", Status.FAIL, digest=plans.OTHER_DIGEST)
    assert "slo FAIL" not in read(book.tell(other)).text


def test_a_day_of_looks_makes_a_page_of_bounded_size() -> None:
    """Looks that say the same are counted, points that would touch are left out."""
    book = begun().tell(*up_to_merge(), *share_events(10))
    for n in range(1, 1200):
        promotions.look(book.after(60), 10, 100 * n, errors=0.001, slow=0.004)
    page = report(book.lines)
    assert len(page) < 110_000
    assert "later looks said the same" in page


# -------------------------------------------------------------------------- timeline


def test_the_timeline_counts_what_is_said_again() -> None:
    """First the news, then how often it stayed so, then the next news."""
    book = begun().tell(*up_to_merge(), *share_events(10))
    for slow in (0.0, 0.0, 0.0, 0.9, 0.0):
        promotions.look(book.after(10), 10, 4000, errors=0.0, slow=slow)
    slo = [entry for entry in timeline(book.lines) if "slo says" in entry.what]
    assert [(entry.status, entry.again) for entry in slo] == [("PASS", 2), ("FAIL", 0), ("PASS", 0)]
    assert slo[0].repeated == "2 later looks said the same, the last at 2026-03-14 09:00:30 UTC"
    assert slo[1].repeated == ""


def test_the_timeline_knows_what_approvers_did_and_when() -> None:
    """Their deed stands at its own time, once, without a line of ours."""
    entries = timeline(promotions.good().lines)
    (approved,) = [entry for entry in entries if entry.n is None]
    assert (approved.who, approved.what) == ("rita.okafor", "approved CHG0030117 on the change desk")
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


def test_every_kind_of_event_has_a_sentence() -> None:
    """An event without words would make a report impossible."""
    book = begun()
    book.tell(
        e.Rebased(stable=None, plan=plans.started(canary()).plan),
        e.Driven(driver="argo", workflow="fraud-scorer-x1"),
        e.Driven(driver="local"),
        e.Resumed(person="otto", stage="shift-100"),
        e.Resumed(person="otto", stage=""),
        e.FreezeBegan(stage="merge", sentence="frozen until it is lifted: audit"),
        e.FreezeEnded(stage="merge"),
        e.EmergencyOpened(number="CHG2", url="http://d/CHG2"),
        e.EmergencyClosed(number="CHG2"),
        e.AbortAsked(person="otto", reason="no"),
        e.ChangeClosed(number="CHG1", code="unsuccessful"),
        done("propose"),
        e.Waited(stage="preview", reason="r", sentence="s", unknown=True, retry_after_seconds=1),
        e.Ended(outcome="rolled_back", sentence="over", left_undone=("this", "that")),
    )
    assert [entry.what for entry in timeline(book.lines)][1:] == [
        "another promotion ended; nothing is the stable version now",
        "workflow fraud-scorer-x1 moves it",
        "the local engine moves it",
        "otto gave the word for shift-100",
        "otto let it go on",
        "merge is frozen until it is lifted: audit",
        "nothing is frozen any more before merge",
        "told the desk by emergency change CHG2",
        "closed emergency change CHG2",
        "otto ended it: no",
        "closed change CHG1 as unsuccessful",
        "propose is done",
        "preview could not tell: s",
        "ended it as rolled back: over; left to people: this; that",
    ]
    told = {line.event.kind for line in (*promotions.hostile("x").lines, *book.lines)}
    assert told == set(e.KINDS)


def test_documents_of_others_may_have_any_shape() -> None:
    """Facts of a verdict are what a gate wrote, also one of a third party."""
    assert approver_rows({}) == ()
    assert approver_rows({"approvers": "rita"}) == ()
    assert approver_rows({"approvers": [{"approver": "rita"}, "x", 3]}) == ({"approver": "rita"},)
    assert instant("yesterday") is None
    assert instant("2026-03-14T09:00:00") == T0
