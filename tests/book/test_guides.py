"""The teacher's pages speak of what is there: sections, exercises, chapters."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

import slides

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "course"
CHAPTERS = {path.name[:2]: path for path in slides.chapters()}
ROW = re.compile(r"^\| (?P<minutes>\d+) \| \*(?P<section>[^|]+)\* \|", re.MULTILINE)
PARTS = (
    "Timing",
    "Board plan",
    "Predictions to collect",
    "Questions, with answers",
    "What goes wrong, and how to answer",
    "Exercises",
)
EACH = pytest.mark.parametrize("number", CHAPTERS)


def headings(number):
    """The headings of a chapter."""
    cells = nbformat.read(CHAPTERS[number], as_version=4).cells
    source = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = [b.source for b in slides.blocks_of(source) if b.kind == "heading"]
    return [text.lstrip("# ") for text in found]


def exercises(number):
    return {int(m["number"]) for text in headings(number) if (m := slides.TASK.fullmatch(text))}


def guide(number):
    return (COURSE / f"guide-{number}.md").read_text(encoding="utf8")


def test_there_is_a_guide_for_every_chapter_and_for_nothing_else():
    assert {path.stem[-2:] for path in COURSE.glob("guide-*.md")} == set(CHAPTERS)


@EACH
def test_a_guide_is_about_its_chapter_and_complete(number):
    text = guide(number)
    assert f"# Guide to chapter {int(number)}\n" in text
    assert f"{{doc}}`../chapters/{CHAPTERS[number].stem}`" in text
    assert re.findall(r"(?m)^## (.+)$", text) == list(PARTS)
    assert "**What should stay**" in text


@EACH
def test_a_class_has_ninety_minutes_in_steps_of_five(number):
    rows = [(int(row["minutes"]), row["section"]) for row in ROW.finditer(guide(number))]
    assert sum(minutes for minutes, _ in rows) == 90
    assert all(minutes % 5 == 0 for minutes, _ in rows)
    assert [section for _, section in rows if section not in headings(number)] == []


@EACH
def test_predictions_name_sections_of_the_chapter(number):
    part = guide(number).split("## Predictions to collect")[1].split("\n## ")[0]
    assert part.count("\n- **") >= 3
    named = re.findall(r"\(\*([^*]+)\*", part)
    assert len(named) >= 2
    assert [section for section in named if section not in headings(number)] == []


@EACH
def test_exercises_that_a_guide_names_exist(number):
    named = {int(n) for n in re.findall(r"\bexercises? (\d)", guide(number), re.IGNORECASE)}
    assert named
    assert named <= exercises(number)


@EACH
def test_every_question_has_an_answer(number):
    part = guide(number).split("## Questions, with answers")[1].split("\n## ")[0]
    questions = re.findall(r"(?m)^- \*(.+?)\* (.+)$", part)
    assert len(questions) >= 4
    assert len(questions) == part.count("\n- ")


def test_the_syllabus_has_seven_weeks_with_exercises_that_exist():
    text = (COURSE / "syllabus.md").read_text(encoding="utf8")
    weeks = re.split(r"(?m)^## (?=Week )", text)[1:]
    assert [week[:6] for week in weeks] == [f"Week {n}" for n in range(1, 8)]
    for week in weeks:
        for part in ("Classes:", "shown by", "**Reading before**", "**Lab**", "**Homework**"):
            assert part in week
        shown = re.findall(r"\| chapter (\d+), exercises? (\d)(?: and (\d))? \|", week)
        assert len(shown) >= 3
        rows = week.count("\n| ") - 1
        assert len(shown) == rows, "an objective without an exercise"
        for number, *named in shown:
            assert {int(n) for n in named if n} <= exercises(f"{int(number):02d}")
    taught = {name[:2] for name in re.findall(r"\{doc\}`\.\./chapters/([\w-]+)`", text)}
    assert taught == set(CHAPTERS)


def test_the_quiz_explains_every_answer_and_says_what_to_read():
    text = (COURSE / "placement.md").read_text(encoding="utf8")
    asked = re.split(r"(?m)^\*\*(\d+)\.\*\* ", text)[1:]
    assert [int(n) for n in asked[::2]] == list(range(1, 16))
    for question in asked[1::2]:
        choices = re.findall(r"(?m)^- \*\*([a-c])\*\* ", question)
        answer = question.split(":::{dropdown} Answer ")[1].split("\n:::")[0]
        right = re.match(r"\d+\n\*\*([a-c])\*\*\.", answer)[1]
        for other in set(choices) - {right}:
            assert f"*{other}*" in answer, f"nothing is said of {other}"
        assert "Missed it?" in answer


@pytest.mark.parametrize("page", sorted(COURSE.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_has_a_description_and_one_title(page):
    _, head, body = page.read_text(encoding="utf8").split("---\n", maxsplit=2)
    assert yaml.safe_load(head)["myst"]["html_meta"]["description"].endswith(".")
    assert len(re.findall(r"(?m)^# ", body)) == 1
