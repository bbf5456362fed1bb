"""A guide to a decision: questions, and the arguments that each answer brings, with their grounds.

It counts no points. Arguments stand side by side, each with a link to what it rests on; the reader
weighs them.
"""

from __future__ import annotations

import html
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import product

import ipywidgets

from encdec.places import link
from encdec.widgets import fill

TWO, ONE, EITHER = "an encoder–decoder", "a decoder-only model", "either"
SIDES = (TWO, ONE, EITHER)
HEADS = {
    TWO: f"Speaks for {TWO}",
    ONE: f"Speaks for {ONE}",
    EITHER: "Whichever you take",
}
# What is said above the arguments; {two} and {one} are how many speak for each side.
SAID = {
    "none": "Nothing that was measured decides between the designs here.",
    "two": f"All that was measured speaks for {TWO}: {{two}}.",
    "one": f"All that was measured speaks for {ONE}: {{one}}.",
    "both": "They disagree, {two} to {one}: weigh them by what each would cost you.",
}
_TEMPLATE = files("encdec").joinpath("guide_view.html").read_text(encoding="utf8")


@dataclass(frozen=True)
class Argument:
    """Something that speaks for one side, if a question is answered in a certain way.

    Args:
        question: which one.
        answer: to it.
        side: one of `SIDES`.
        text: a sentence, with its figure.
        page: the chapter's file, without its ending, that it rests on; empty for the page itself.
        heading: of the section.
    """

    question: str
    answer: str
    side: str
    text: str
    page: str
    heading: str


@dataclass(frozen=True)
class Guide:
    """Questions and arguments.

    Args:
        questions: each with its answers.
        arguments: in the order in which they are shown.
    """

    questions: Mapping[str, Sequence[str]]
    arguments: Sequence[Argument]

    def complaints(self) -> list[str]:
        """What is wrong with the guide, a sentence each."""
        found = []
        for each in self.arguments:
            if each.answer not in self.questions.get(each.question, ()):
                found.append(f"{each.text!r}: {each.answer!r} is no answer to {each.question!r}.")
            if each.side not in SIDES:
                found.append(f"{each.text!r}: {each.side!r} is no side.")
            if not each.heading:
                found.append(f"{each.text!r} rests on nothing.")
        argued = {(each.question, each.answer) for each in self.arguments}
        for question, answers in self.questions.items():
            if not any((question, answer) in argued for answer in answers):
                found.append(f"no answer to {question!r} brings an argument.")
        return found

    def balance(self, answers: Mapping[str, str]) -> dict[str, list[Argument]]:
        """The arguments of each side for some answers.

        Args:
            answers: question to answer; a question that is left out brings nothing.

        Raises:
            ValueError: an answer is none of its question's.
        """
        for question, answer in answers.items():
            if answer not in self.questions.get(question, ()):
                raise ValueError(f"{answer!r} is no answer to {question!r}")
        chosen = [each for each in self.arguments if answers.get(each.question) == each.answer]
        return {side: [each for each in chosen if each.side == side] for side in SIDES}

    def kind(self, answers: Mapping[str, str]) -> str:
        """Whether arguments for ``two``, for ``one``, for ``both`` or for ``none`` remain."""
        balance = self.balance(answers)
        if balance[TWO] and balance[ONE]:
            return "both"
        return "two" if balance[TWO] else "one" if balance[ONE] else "none"

    def said(self, answers: Mapping[str, str]) -> str:
        """The arguments in a sentence."""
        balance = self.balance(answers)
        counts = {"two": len(balance[TWO]), "one": len(balance[ONE])}
        return SAID[self.kind(answers)].format(**counts)

    def situations(self) -> Iterator[dict[str, str]]:
        """All combinations of answers."""
        for answers in product(*self.questions.values()):
            yield dict(zip(self.questions, answers, strict=True))

    def first(self) -> dict[str, str]:
        """The first answer to every question."""
        return {question: answers[0] for question, answers in self.questions.items()}


def _item(argument: Argument) -> str:
    """An argument as a list item with a link to its grounds."""
    place = f"chapter {int(argument.page[:2])}" if argument.page else "this page"
    grounds = link(argument.page, argument.heading, f"{place}, {argument.heading}")
    data = {"question": argument.question, "answer": argument.answer}
    marks = " ".join(f"data-{key}='{html.escape(text)}'" for key, text in data.items())
    return f"<li {marks}>{html.escape(argument.text)} <small>({grounds})</small></li>"


def columns(arguments: Mapping[str, Sequence[Argument]]) -> str:
    """Arguments side by side as HTML."""
    parts = []
    for side in SIDES:
        items = "".join(_item(each) for each in arguments[side])
        parts.append(
            f"<div style='flex: 1 1 14em'><p><b>{HEADS[side]}</b></p><ul>{items}</ul></div>"
        )
    return f"<div style='display: flex; flex-wrap: wrap; gap: 0 1.5em'>{''.join(parts)}</div>"


class GuideView:
    """A self-contained HTML figure that answers on the page, without a kernel.

    All arguments stand in the page; a script hides those of answers that are not chosen.

    Args:
        guide: questions and arguments.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: the guide has complaints.
    """

    def __init__(self, guide: Guide, name: str | None = None) -> None:
        if found := guide.complaints():
            raise ValueError(" ".join(found))
        self.guide = guide
        self.name = name or f"guide-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        everything = {
            side: [each for each in self.guide.arguments if each.side == side] for side in SIDES
        }
        data = {
            "questions": {name: list(answers) for name, answers in self.guide.questions.items()},
            "said": SAID,
        }
        return fill(_TEMPLATE, data, name=self.name, columns=columns(everything))


def guide_explorer(guide: Guide) -> ipywidgets.Widget:
    """The same with a kernel: menus for the answers, and the arguments that follow them.

    Args:
        guide: questions and arguments.
    """
    menus = {
        question: ipywidgets.Dropdown(
            options=list(answers),
            description=question,
            style={"description_width": "initial"},
            layout={"width": "auto"},
        )
        for question, answers in guide.questions.items()
    }
    shown = ipywidgets.HTML()

    def show(_: object = None) -> None:
        answers = {question: menu.value for question, menu in menus.items()}
        said = html.escape(guide.said(answers))
        shown.value = f"<p><b>{said}</b></p>{columns(guide.balance(answers))}"

    for menu in menus.values():
        menu.observe(show, names="value")
    show()
    return ipywidgets.VBox([*menus.values(), shown])
