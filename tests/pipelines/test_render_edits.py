"""The comment on a pull request: complete for who reviews it, and short enough, whatever anybody wrote.

The Markdown is judged by its own rules of blocks and spans; no renderer is at hand. LOCKGATE_REGENERATE=1
writes the kept comment anew, never in CI.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InvalidInput
from pipelines.render import edits_text
from pipelines.render.edits import CHARACTERS, MOST_PROBLEMS
from pipelines.render.engine import fence, summary
from pipelines.spec.edits import MAXIMUM_BYTES, Course, Edited, Edits, read_edits
from tests.pipelines.test_render_texts import EVIL, spans

KEPT = Path(__file__).resolve().parents[1] / "golden" / "edits" / "comment.md"
BASE, HEAD = "b" * 40, "e" * 40
DIFF = "--- clusters/prod/x\n+++ clusters/prod/x\n@@ -1 +1 @@\n-uri: s3://m/v1\n+uri: s3://m/v2"
STAGES = (
    ("propose", "0 %", "-", "-", "1 d", "15 s", "-"),
    ("judge", "0 %", "policy, load", "-", "1 h", "15 s", "-"),
)
COURSE = Course(
    environment="prod",
    sentence="fraud-scorer v2 to prod: tier regulated, canary; v1 serves now",
    stages=STAGES,
    notes=("A newer version that arrives on the way: queue.",),
    manifests=DIFF,
)
SERVES = COURSE.model_copy(
    update={
        "environment": "staging",
        "sentence": "fraud-scorer to staging: v2 serves there already",
        "stages": (),
        "notes": ("no promotion begins",),
        "manifests": "",
    }
)
EDITS = Edits(
    base=BASE,
    problems=("models/b/release.yaml:3: tier: there is no tier gold",),
    models=(
        Edited(model="fraud-scorer", how="changed", courses=(SERVES, COURSE)),
        Edited(model="b", how="new", courses=()),
        Edited(model="old", how="removed", courses=()),
    ),
)


def evil(course: Course = COURSE) -> Edits:
    """The same with hostile words in every place that has words."""
    bad = Course(
        environment=EVIL,
        sentence=EVIL,
        stages=tuple(tuple(EVIL for _ in row) for row in course.stages),
        notes=(EVIL,),
        manifests=f"{EVIL}\n```\n@team\n````\r\n</details><img src=x>\n~~~\n# heading",
    )
    return Edits(base=EVIL, problems=(EVIL,), models=(Edited(model=EVIL, how="changed", courses=(bad,)),))


def outside(markdown: str) -> list[str]:
    """The lines left when fenced blocks, code in HTML and code spans are taken out, as CommonMark does it."""
    left, closing = [], ""
    for line in re.split("\r\n|\r|\n", markdown):
        if closing:
            closing = "" if re.fullmatch(closing, line) else closing
        elif opened := re.match("(`{3,})[a-z]*$", line):
            closing = f" {{0,3}}`{{{len(opened[1])},}}[ \t]*"
        else:
            left.append(spans(re.sub("<code>[^<>]*</code>", "", line)))
    assert closing == "", "a fence is left open"
    return left


# ---------------------------------------------------------------------------- what it says


def test_the_comment_is_as_kept() -> None:
    """Problems, the plan of each environment, what becomes of the manifests, models new and gone."""
    text = edits_text(EDITS, HEAD)
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        assert "CI" not in os.environ, "golden files are never regenerated in CI"
        KEPT.write_text(text, "utf-8")

    assert text == KEPT.read_text("utf-8")


def test_nothing_edited_is_said() -> None:
    """A working tree has no commit to name."""
    text = edits_text(Edits(base=BASE, problems=(), models=()))

    assert "No problem in any file." in text
    assert "No `release.yaml` differs, so no promotion begins." in text
    assert "What these files lead to" in text


def test_hostile_words_are_data_everywhere() -> None:
    """No mention, link, picture, heading, tag or closing word of theirs reaches the forge."""
    harmless = Edits(
        base="x",
        problems=("x",),
        models=(Edited(model="x", how="changed", courses=(_words("x"),)),),
    )

    assert outside(edits_text(evil(), EVIL)) == outside(edits_text(harmless, "x"))


def _words(word: str) -> Course:
    stages = tuple(tuple(word for _ in row) for row in STAGES)
    return Course(environment=word, sentence=word, stages=stages, notes=(word,), manifests=word)


TEXT = st.text(st.characters() | st.sampled_from("`~<>|@#&\n\r\\*_[]!"), max_size=60)
COURSES = st.builds(
    Course,
    environment=TEXT,
    sentence=TEXT,
    stages=st.lists(st.lists(TEXT, max_size=8).map(tuple), max_size=3).map(tuple),
    notes=st.lists(TEXT, max_size=3).map(tuple),
    manifests=TEXT,
)
MODELS = st.builds(
    Edited,
    model=TEXT,
    how=st.sampled_from(["new", "changed", "removed"]),
    courses=st.lists(COURSES, max_size=2).map(tuple),
)


@given(
    st.builds(
        Edits,
        base=TEXT,
        problems=st.lists(TEXT, max_size=3).map(tuple),
        models=st.lists(MODELS, max_size=2).map(tuple),
    )
)
def test_only_our_own_words_stand_outside_of_code(edits: Edits) -> None:
    """Whatever is in the values, each line left is one of the template's."""
    ours = re.compile(
        r"|### lockgate|#### |What (commit|these files) .*|\*\*\d+ problems?\*\*; .*|- |No problem .*"
        r"|A new model\.|Its  is removed: .*|<details><summary></summary>|</details>|[| -]*|\| stage \|.*"
        r"|What Argo CD applies in  now, and at the end:|No  differs, so no promotion begins\."
    )

    assert [line for line in outside(edits_text(edits)) if not ours.fullmatch(line)] == []


# ------------------------------------------------------------------------------- how long


@settings(max_examples=30)
@given(st.integers(0, 150), st.integers(0, 2), st.integers(0, 25_000))
def test_it_is_never_longer_than_a_comment_may_be(models: int, courses: int, characters: int) -> None:
    """Nor does it leave a block open where it is cut."""
    course = COURSE.model_copy(update={"manifests": "+abcdefg\n" * (characters // 9)})
    many = tuple(Edited(model=f"m{n}", how="changed", courses=(course,) * courses) for n in range(models))
    text = edits_text(Edits(base=BASE, problems=("p" * 600,) * models, models=many))

    assert len(text) <= CHARACTERS
    assert outside(text).count("</details>") == text.count("<details>")


def test_a_long_diff_is_cut_before_a_model_is_left_out() -> None:
    """And says how much is missing."""
    long = COURSE.model_copy(update={"manifests": "+line of ten\n" * 9_000})
    text = edits_text(EDITS.model_copy(update={"models": (Edited(model="m", how="new", courses=(long,)),)}))

    assert "#### `m`" in text
    assert re.search(r"\n… \d+ more lines\n```", text)


def test_many_models_are_counted() -> None:
    """The first are shown, the rest are a number, and every problem counts."""
    many = tuple(Edited(model=f"m{n}", how="changed", courses=(COURSE,)) for n in range(300))
    text = edits_text(Edits(base=BASE, problems=("wrong",) * (MOST_PROBLEMS + 7), models=many))

    shown = text.count("\n#### ")
    assert 0 < shown < 300
    assert f"And {300 - shown} more models" in text
    assert "**57 problems**" in text
    assert "- and 7 more: `lockgate lint` lists them all" in text


# ------------------------------------------------------------------------------- filters


@given(st.text(st.characters() | st.sampled_from("`~\n\r"), max_size=200), st.integers(0, 100))
def test_a_fence_is_closed_by_nothing_but_its_end(text: str, at_most: int) -> None:
    """Whatever is inside, of whatever length."""
    assert outside(f"before\n{fence(text, 'diff', at_most)}\nafter") == ["before", "after"]


def test_filters_by_example() -> None:
    """Each on a small value."""
    assert fence("a\n``` b", "diff", 99) == "````diff\na\n``` b\n````"
    assert fence("a\nb\nc", "", 4) == "```\na\nb\n… 1 more line\n```"
    assert fence("x\u202ey\r\tz", "", 99) == "```\nx\\u{202e}y\\u{d}\tz\n```"
    assert summary("<b> & @team\n") == "<code>&lt;b&gt; &amp; @team</code>"


# --------------------------------------------------------------------------- as a file


def written(edits: Edits, schema: str = "lockgate.edits/1") -> bytes:
    """What the command line prints, on one line."""
    return f'{{"schema": "{schema}", {edits.model_dump_json()[1:]}'.encode()


def test_a_file_is_read_back() -> None:
    """Between two jobs nothing is lost."""
    assert read_edits(written(EDITS), "plan.json") == EDITS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "plan.json: Invalid JSON"),
        (b"\xff{}", "Invalid JSON"),
        (b"[]", "should be an object"),
        (written(EDITS, "lockgate.plan/1"), "plan.json: schema: Input should be 'lockgate.edits/1'"),
        (written(EDITS).replace(b'"models"', b'"modles"'), "models: Field required"),
        (written(EDITS).replace(b'"problems"', b'"evil": 1, "problems"'), "evil: Extra inputs"),
        (written(EDITS).replace(b'"changed"', b'"approved"'), "models.0.how: Input should be 'new'"),
        (written(EDITS).replace(b'"propose"', b"7"), "stages.0.0: Input should be a valid string"),
        (b" " * (MAXIMUM_BYTES + 1), "is larger than 4 MiB"),
    ],
)
def test_a_file_of_another_shape_is_refused(text: bytes, says: str) -> None:
    """With the place, and without repeating what stands there."""
    with pytest.raises(InvalidInput) as caught:
        read_edits(text, "plan.json")

    assert says in str(caught.value)
