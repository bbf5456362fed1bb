"""What the chapters found about each claim of the article, taken from the cells that found it.

    python -m benchmarks.verdicts

reads the stored outputs of the chapters and the recorded runs, takes the figures that decide,
checks that they support the verdict, and writes ``results/verdicts.json``. It runs nothing anew and
takes a second; a test fails when a chapter says something else than the record.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer

from encdec import results
from encdec.results import provenance, write_json

CHAPTERS = Path(__file__).parents[1] / "chapters"
HOLDS, PARTLY, FAILS, OPEN = "holds", "holds in part", "fails", "open"
WORKS, TRAP, WRONG, CRASHES = "works", "works, with a trap", "runs, and is wrong", "crashes"
SENTENCES, CODES = (HOLDS, PARTLY, FAILS, OPEN), (WORKS, TRAP, WRONG, CRASHES)
Numbers = dict[str, float]
Test = Callable[[Numbers], bool]


class VerdictError(ValueError):
    """A cell or a run no longer says what a verdict rests on; the message is one sentence."""


@dataclass(frozen=True)
class Finding:
    """What was found about a sentence or about a snippet.

    Args:
        verdict: one of `SENTENCES` or `CODES`.
        says: the figure in words, with names of numbers in braces.
        page: the chapter's file, without its ending.
        heading: of the section that decided it.
        printed: patterns of stored outputs of that chapter; their named groups are numbers.
        recorded: numbers from recorded runs.
        supported: whether the numbers support the verdict.
    """

    verdict: str
    says: str
    page: str
    heading: str
    printed: tuple[str, ...] = ()
    recorded: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    supported: Test = lambda numbers: True

    def numbers(self) -> Numbers:
        """The figures, read now."""
        found = {name: float(read()) for name, read in self.recorded.items()}
        for pattern in self.printed:
            found |= printed(self.page, pattern)
        return found

    def as_dict(self) -> dict[str, Any]:
        """For the results file.

        Raises:
            VerdictError: the section is gone, or the figures do not support the verdict.
        """
        if self.heading not in headings(self.page):
            raise VerdictError(f"{self.page} has no section {self.heading!r}.")
        numbers = self.numbers()
        if not self.supported(numbers):
            raise VerdictError(f"{self.page}: {numbers} does not support {self.verdict!r}.")
        said = self.says.format(**numbers)
        return {
            "verdict": self.verdict,
            "figure": said,
            "numbers": {name: round(value, 6) for name, value in numbers.items()},
            "page": self.page,
            "heading": self.heading,
        }


@dataclass(frozen=True)
class Ruling:
    """A section of the article: what it claims, and what was found.

    Args:
        section: its number, and that of the chapter.
        claim: in the book's own words.
        sentence: about the claim; None while it is open.
        code: about the snippet; None where there is none.
    """

    section: int
    claim: str
    sentence: Finding | None
    code: Finding | None


@cache
def notebook(page: str) -> nbformat.NotebookNode:
    """A stored chapter."""
    path = CHAPTERS / f"{page}.ipynb"
    if not path.exists():
        raise VerdictError(f"there is no chapter {page!r}.")
    return nbformat.read(path, as_version=4)


@cache
def headings(page: str) -> frozenset[str]:
    """The headings of a chapter."""
    prose = "\n".join(c.source for c in notebook(page).cells if c.cell_type == "markdown")
    return frozenset(re.findall(r"(?m)^#+ (.+)$", prose))


@cache
def outputs(page: str) -> str:
    """What the cells of a chapter have printed, and the errors that they have raised."""
    parts = []
    for cell in notebook(page).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                parts.append(output.text)
            elif output.output_type == "error":
                parts.append(f"{output.ename}: {output.evalue}\n")
    return "".join(parts)


def told(page: str, pattern: str) -> Callable[[], float]:
    """Counts what fits a pattern in a chapter's prose."""

    def read() -> float:
        prose = "\n".join(c.source for c in notebook(page).cells if c.cell_type == "markdown")
        return len(re.findall(pattern, prose, re.MULTILINE))

    return read


def printed(page: str, pattern: str) -> Numbers:
    """The named numbers of a pattern in a chapter's stored outputs.

    Raises:
        VerdictError: no output fits.
    """
    found = re.search(pattern, outputs(page))
    if found is None:
        raise VerdictError(f"no output of {page} fits {pattern!r} any more.")
    return {name: float(text.replace(",", "")) for name, text in found.groupdict().items()}


def score(run: str, *path: str | int) -> Callable[[], float]:
    """Reads a number from a recorded run."""

    def read() -> float:
        value: Any = results.load(run)
        for step in path:
            value = value[step]
        return float(value)

    return read


def mean(run: str, *path: str | int, at: tuple[int, ...]) -> Callable[[], float]:
    """Reads a number of every seed from a recorded run, and takes the mean."""

    def read() -> float:
        seeds: Any = results.load(run)
        for step in path:
            seeds = seeds[step]
        values = []
        for seed in seeds:
            for step in at:
                seed = seed[step]
            values.append(float(seed))
        return statistics.fmean(values)

    return read


def median(system: str) -> float:
    """Seconds for a sentence, of all rounds."""
    return statistics.median(results.load("efficiency-times")["systems"][system])


def from_ten(method: str) -> Callable[[], float]:
    """Mean chrF after tuning on ten captions."""

    def read() -> float:
        runs = results.load("fine-tuning")["sizes"][method]
        return statistics.fmean(
            each["test"]["value"] for each in runs if each["captions_learnt_from"] == 10
        )

    return read


def gained(by: str, kind: str) -> Callable[[], float]:
    """Points of right answers from the fewest to the most tasks or templates, over the seeds."""

    def read() -> float:
        run = results.load("instruction-tuning")
        other = "templates" if by == "tasks" else "tasks"
        full = [each for each in run["runs"] if each[other] == max(run["parts"][other])]
        ends = [
            statistics.fmean(e["scores"][kind]["value"] for e in full if e[by] == end)
            for end in (min(run["parts"][by]), max(run["parts"][by]))
        ]
        return ends[1] - ends[0]

    return read


UNSEEN = ("instructions", "scores", "unseen templates", 0)
GUESS = ("instructions", "scores", "baseline: commonest answer, unseen templates", 0)
ARTICLE = "The article under test"
PASSAGES = {  # over eight passages, at the end of the training
    "apart": mean("passages", "readers", "fusion-in-decoder", "right", at=(-1, -1)),
    "long": mean("passages", "readers", "one long source", "right", at=(-1, -1)),
}
AT_ONCE, SINGLY = "answer only", "answer only, one step at a time"
STEPS = {
    "two": mean("instruction-steps", "systems", AT_ONCE, "right", at=(1,)),
    "four": mean("instruction-steps", "systems", AT_ONCE, "right", at=(3,)),
    "singly": mean("instruction-steps", "systems", SINGLY, "right", at=(3,)),
}


def rounded_to_eight_bits(*path: str) -> tuple[float, float]:
    """A figure of the translator in float32, and with eight bits for a weight."""
    plain, few = ("float32", "8 bits, a scale for each row")
    return score("efficiency", "variants", plain, *path)(), score(
        "efficiency", "variants", few, *path
    )()


def smaller() -> float:
    """By what factor the bytes shrink."""
    plain, few = rounded_to_eight_bits("bytes")
    return plain / few


def lost() -> float:
    """Points of chrF that the rounding costs."""
    plain, few = rounded_to_eight_bits("chrF", "value")
    return plain - few


EIGHT_BITS = {"smaller": smaller, "lost": lost}

RULINGS = (
    Ruling(
        1,
        "Encoder–decoders are used for instructions; a T5 answers one call of generate.",
        Finding(
            HOLDS,
            "the book's tuned BART: {right:.1f}% [{low:.1f}, {high:.1f}] right on new wordings; "
            "the commonest answer {guess:.1f}%",
            "04-instruction-tasks",
            "Does it follow? A test set",
            recorded={
                "right": score("bart-instruct", *UNSEEN, "value"),
                "low": score("bart-instruct", *UNSEEN, "low"),
                "high": score("bart-instruct", *UNSEEN, "high"),
                "guess": score("bart-instruct", *GUESS, "value"),
            },
            supported=lambda n: n["low"] > n["guess"],
        ),
        Finding(
            TRAP,
            "cut after {cut:.0f} new tokens; the whole answer has {whole:.0f}",
            "01-understanding-encoder-decoder-llms",
            ARTICLE,
            (r"transformers: (?P<cut>\d+) new tokens", r"encdec: (?P<whole>\d+) new tokens"),
            supported=lambda n: n["cut"] < n["whole"],
        ),
    ),
    Ruling(
        2,
        "Two parts, one that reads and one that writes, turn one sequence into another.",
        Finding(
            HOLDS,
            "numbers of twelve digits written down without a mistake: {attention:.0%} with "
            "attention, {without:.0%} through a single vector",
            "02-encoder-decoder-architecture",
            "Attention: look back instead of remembering",
            recorded={
                "attention": mean(
                    "dictation-length", "models", "additive attention", "right", at=(11,)
                ),
                "without": mean("dictation-length", "models", "no attention", "right", at=(11,)),
            },
            supported=lambda n: n["attention"] > 0.9 > 0.5 > n["without"],
        ),
        Finding(
            CRASHES,
            "its decoder expects {wanted:.0f} numbers a step and is given {given:.0f}",
            "02-encoder-decoder-architecture",
            ARTICLE,
            (r"input_size\. Expected (?P<wanted>\d+), got (?P<given>\d+)",),
        ),
    ),
    Ruling(
        3,
        "Decoder-only models read and write with self-attention, one token after another.",
        Finding(
            HOLDS,
            "a causal decoder's past scores move by {causal:.2f} when the future changes",
            "03-decoder-only-models",
            "Does it look into the future?",
            (r"DecoderOnly +past scores move by up to (?P<causal>[\d.]+)",),
            supported=lambda n: n["causal"] < 0.005,
        ),
        Finding(
            WRONG,
            "its past scores move by {moved:.2f}: it sees what it has to predict",
            "03-decoder-only-models",
            "Does it look into the future?",
            (r"published structure +past scores move by up to (?P<moved>[\d.]+)",),
            supported=lambda n: n["moved"] > 0.05,
        ),
    ),
    Ruling(
        4,
        "T5 and BART excel at following instructions.",
        Finding(
            PARTLY,
            "right answers: {denoiser:.1f}% as a denoiser, {tuned:.1f}% once tuned, "
            "{task:.1f}% on tasks that are new as well",
            "04-instruction-tasks",
            "Is it the instruction that it follows?",
            (r"denoiser +(?P<denoiser>[\d.]+) \[", r"tuned +(?P<tuned>[\d.]+) \["),
            {"task": score("bart-instruct", "instructions", "scores", "unseen tasks", 0, "value")},
            lambda n: n["denoiser"] < 5 < 40 < n["tuned"] and n["task"] < 20,
        ),
        Finding(
            WRONG,
            "of a prompt of {prompt:.0f} tokens it makes {written:.0f}, the instruction among them",
            "04-instruction-tasks",
            "The same call on the book's models",
            (
                r"the prompt has (?P<prompt>\d+) tokens",
                r"as in the article, (?P<written>\d+) tokens",
            ),
            supported=lambda n: n["written"] > n["prompt"],
        ),
    ),
    Ruling(
        5,
        "Reading and writing apart helps with complex instructions.",
        Finding(
            PARTLY,
            "decoder-only of equal parameters takes {cost:.2f} times the arithmetic; that "
            "instructions gain by it was not found",
            "05-advantages",
            "The same with the library",
            (r"512 -> 32 +equal parameters +(?P<cost>[\d.]+)",),
            supported=lambda n: n["cost"] > 1.5,
        ),
        Finding(
            WRONG,
            "other future tokens move the past by {future:.2f}, padding by {padding:.2f}, another "
            "order of the source by {order:.2f}",
            "05-advantages",
            ARTICLE,
            (
                r"other future tokens +logits move by (?P<future>[\d.]+)",
                r"padding after the source +logits move by (?P<padding>[\d.]+)",
                r"source reversed +logits move by (?P<order>[\d.]+)",
            ),
            supported=lambda n: n["future"] > 0.05 and n["order"] < 0.005,
        ),
    ),
    Ruling(
        6,
        "For translation, the encoder reads one language and the decoder writes the other.",
        Finding(
            HOLDS,
            "BLEU {bleu:.1f} [{low:.1f}, {high:.1f}]; the nearest training sentence {memory:.1f}",
            "06-translation",
            "With a baseline and an interval",
            recorded={
                "bleu": score("marian-en-fr", "scores", "beam 5", 0, "value"),
                "low": score("marian-en-fr", "scores", "beam 5", 0, "low"),
                "high": score("marian-en-fr", "scores", "beam 5", 0, "high"),
                "memory": score(
                    "marian-en-fr", "scores", "baseline: nearest training sentence", 0, "value"
                ),
            },
            supported=lambda n: n["low"] > n["memory"],
        ),
        Finding(
            WORKS,
            "one sentence, no score; of {all:.0f} sentences {exact:.0f} are right to the letter",
            "06-translation",
            ARTICLE,
            (r"(?P<exact>\d+) of (?P<all>\d+) answers are a reference",),
        ),
    ),
    Ruling(
        7,
        "For summaries, the model understands the context and is concise.",
        Finding(
            PARTLY,
            "ROUGE-1 {model:.1f} against {lead:.1f} for the first sentence; on code of another "
            "style ROUGE-L {own:.1f} against {words:.1f} for a list of common words",
            "07-summarization",
            "What has to be beaten",
            (
                r"model  ROUGE-L (?P<own>[\d.]+)",
                r"commonest words  ROUGE-L (?P<words>[\d.]+)",
            ),
            {
                "model": score("pegasus-docstrings", "scores", "beam 4", 0, "value"),
                "lead": score(
                    "pegasus-docstrings", "scores", "baseline: lead sentence", 0, "value"
                ),
            },
            lambda n: n["model"] > n["lead"] + 5 and n["own"] < n["words"] + 3,
        ),
        Finding(
            TRAP,
            "of {whole:.0f} tokens {read:.0f} are read, and nothing is said",
            "07-summarization",
            ARTICLE,
            (r"with max_length +(?P<read>\d+) tokens", r"without +(?P<whole>\d+) tokens"),
            supported=lambda n: n["read"] < n["whole"],
        ),
    ),
    Ruling(
        8,
        "A pretrained model can be tuned to a task, and its knowledge is of use.",
        Finding(
            HOLDS,
            "chrF on captions {untuned:.1f} before, {tuned:.1f} after; on everyday sentences "
            "{before:.1f} before, {after:.1f} after",
            "08-fine-tuning",
            "What may move: all weights, some, or a few new ones",
            (
                r"all weights +[\d,]+ +(?P<tuned>[\d.]+) \[[^\]]*\] +(?P<after>[\d.]+)",
                r"untuned +(?P<untuned>[\d.]+) \[[^\]]*\] +(?P<before>[\d.]+)",
            ),
            supported=lambda n: n["tuned"] > n["untuned"] + 20,
        ),
        Finding(
            CRASHES,
            "two errors before the first step; repaired, its three steps move the weights by a "
            "share of {moved:.0e}",
            "08-fine-tuning",
            ARTICLE,
            (
                r"NameError: name 'torch' is not defined\nTypeError",
                r"three steps move the weights by (?P<moved>\S+)",
            ),
            supported=lambda n: n["moved"] < 1e-4,
        ),
    ),
    Ruling(
        9,
        "Tuning on diverse instructions makes a model follow instructions better.",
        Finding(
            PARTLY,
            "more templates: {templates:+.0f} points on new wordings; more tasks: {tasks:+.0f} on "
            "new tasks",
            "09-instruction-tuning",
            "The two curves",
            recorded={
                "templates": gained("templates", "its tasks, new wordings"),
                "tasks": gained("tasks", "unseen tasks"),
            },
            supported=lambda n: n["templates"] > 10 and abs(n["tasks"]) < 5,
        ),
        Finding(
            WRONG,
            "{samples:.0f} samples are {different:.0f} different ones",
            "09-instruction-tuning",
            ARTICLE,
            (r"(?P<samples>\d+) samples, (?P<different>\d+) different ones",),
            supported=lambda n: n["different"] < 10,
        ),
    ),
    Ruling(
        10,
        "Long texts and instructions of several steps are hard.",
        Finding(
            HOLDS,
            "instructions of two steps {two:.0%} right, of four {four:.0%}; one step at a time "
            "{singly:.0%}",
            "10-challenges",
            "Challenge 3: instructions of several steps",
            recorded=STEPS,
            supported=lambda n: n["two"] > 0.9 > 0.5 > n["four"],
        ),
        Finding(
            CRASHES,
            "{sentences:.0f} sentences are taken for positions",
            "10-challenges",
            ARTICLE,
            (r"RuntimeError: shape '\[(?P<sentences>\d+), 120, 32\]' is invalid",),
        ),
    ),
    Ruling(
        11,
        "Encoder–decoders excel at mapping inputs to outputs, decoders at open-ended text.",
        Finding(
            OPEN,
            "at equal FLOPs its loss is lower than a decoder's on {lead:.0f} of 3 skills, "
            "{sure:.0f} of them decided; open-ended text was not tried",
            "11-comparison",
            "Which differences are decided?",
            (
                r"ahead of decoder-only +equal FLOPs +: (?P<lead>\d) of 3 skills, "
                r"(?P<sure>\d) decided",
            ),
            supported=lambda n: n["sure"] < 2,
        ),
        Finding(
            WRONG,
            "two shapes are compared; the larger model is never shown the source and fails "
            "{failed:.0f} of 5 questions",
            "11-comparison",
            ARTICLE,
            (r"article: six layers +fails (?P<failed>\d) of 5",),
            supported=lambda n: n["failed"] > 2,
        ),
    ),
    Ruling(
        12,
        "Hybrids combine both designs and do better on instructions.",
        Finding(
            PARTLY,
            "each is a trade; read apart, eight passages are answered at {apart:.0%}, as one long "
            "source at {long:.0%}",
            "12-hybrid-approaches",
            "What they mix",
            recorded=PASSAGES,
            supported=lambda n: n["apart"] > n["long"],
        ),
        Finding(
            WRONG,
            "a plain encoder–decoder without its mask: every weight fits",
            "12-hybrid-approaches",
            ARTICLE,
            (
                r"every weight has its place, none is left over",
                r"without our mask they agree within 1e-4: True",
                r"as claimed: future moves the past: True",
            ),
        ),
    ),
    Ruling(
        13,
        "Work goes towards less computation.",
        Finding(
            HOLDS,
            "eight bits for a weight: 1/{smaller:.1f} of the bytes, {lost:.2f} chrF lost",
            "13-future-directions",
            "Fewer bits: rounding from scratch",
            recorded=EIGHT_BITS,
            supported=lambda n: n["smaller"] > 3 and n["lost"] < 0.5,
        ),
        Finding(
            CRASHES,
            "a name is missing outside its notebook; with it, {efficient:,.0f} weights against "
            "{plain:,.0f} of the plain model",
            "13-future-directions",
            ARTICLE,
            (
                r"NameError: name '\w+' is not defined",
                r"weights (?P<efficient>[\d,]+) and (?P<plain>[\d,]+)",
            ),
            supported=lambda n: n["efficient"] >= n["plain"],
        ),
    ),
    Ruling(
        15,
        "Three papers discuss encoder–decoders and how they follow instructions.",
        Finding(
            PARTLY,
            "of the three, {two:.0f} are about an encoder–decoder, {tuned:.0f} about one that was "
            "tuned on instructions",
            "15-resources",
            "Which model? Ask the paper",
            recorded={
                "two": told("15-resources", r"^\| (?:T5|BART|FLAN), .*\| encoder–decoder \|"),
                "tuned": told("15-resources", r"^\| (?:T5|BART|FLAN), .*\| encoder–decoder \| yes"),
            },
            supported=lambda n: n["two"] == 2 and n["tuned"] == 0,
        ),
        None,
    ),
)

# What the decision guide of the last chapter rests on, by name.
INSTRUCTED = "then tuned on instructions\n"
GROUNDS: dict[str, Finding] = {
    "long source": Finding(
        "",
        "At equal parameters a decoder-only model takes {cost:.2f} times the arithmetic for 512 "
        "tokens in and 32 out.",
        "05-advantages",
        "The same with the library",
        (r"512 -> 32 +equal parameters +(?P<cost>[\d.]+)",),
    ),
    "long target": Finding(
        "",
        "At equal parameters a decoder-only model takes {cost:.2f} times the arithmetic for 32 "
        "tokens in and 512 out.",
        "05-advantages",
        "The same with the library",
        (r"32 -> 512 +equal parameters +(?P<cost>[\d.]+)",),
    ),
    "half the size": Finding(
        "",
        "If a decoder-only model of about half the parameters does, it takes {cost:.2f} times the "
        "arithmetic of the encoder–decoder.",
        "05-advantages",
        "The crossover",
        (r"512 -> 32 +equal decoder depth +(?P<cost>[\d.]+)",),
        supported=lambda n: n["cost"] < 1,
    ),
    "passages": Finding(
        "",
        "Fusion-in-decoder answers from eight passages, twice as many as in training, at "
        "{apart:.0%}; one long source at {long:.0%}.",
        "12-hybrid-approaches",
        "Hybrid 5: fusion-in-decoder, read apart and write together",
        recorded=PASSAGES,
    ),
    "tuning": Finding(
        "",
        "Of nine models that learn the same, {sold:.0f} could be shown as the winner: tuned alone, "
        "and all others at the worst rate that was tried.",
        "11-comparison",
        "Equal tuning",
        (r"all others at their worst: (?P<sold>\d) of 9 would win",),
        supported=lambda n: n["sold"] > 5,
    ),
    "conversation": Finding(
        "",
        "From turn {turn:.0f} on, a decoder-only model of equal parameters has done less "
        "arithmetic: its cache goes on, an encoder reads all again.",
        "05-advantages",
        "Where separation hurts: a conversation",
        (r"decoder-only has done less arithmetic from turn (?P<turn>\d+) on",),
    ),
    "question to the decoder": Finding(
        "",
        "Sixteen questions on one text take {two:.1f} billion operations if the decoder is asked; "
        "a decoder-only model that keeps its cache takes {one:.1f}.",
        "05-advantages",
        "Claim 3: it separates reading from writing",
        (
            r"(?P<two>[\d.]+) billion operations +encoder–decoder, question to the decoder",
            r"(?P<one>[\d.]+) billion operations +decoder-only, cache of the text kept",
        ),
        supported=lambda n: n["two"] < n["one"],
    ),
    "question in the source": Finding(
        "",
        "If the question stands in the source, as T5 and its successors expect it, an "
        "encoder–decoder takes {two:.1f} billion operations, against {one:.1f}.",
        "05-advantages",
        "Claim 3: it separates reading from writing",
        (
            r"(?P<two>[\d.]+) billion operations +encoder–decoder, question in the source",
            r"(?P<one>[\d.]+) billion operations +decoder-only, cache of the text kept",
        ),
        supported=lambda n: n["two"] > n["one"],
    ),
    "tuned": Finding(
        "",
        "Take a checkpoint that was tuned on instructions: the same weights answer {before:.1f}% "
        "as a denoiser and {after:.1f}% once tuned.",
        "04-instruction-tasks",
        "Does it follow? A test set",
        (r"denoiser +(?P<before>[\d.]+) \[", r"tuned +(?P<after>[\d.]+) \["),
    ),
    "published": Finding(
        "",
        "Published, same data, tuned on instructions: {two:.1f} against {one:.1f} on unseen tasks, "
        "with twice the parameters at the same cost.",
        "01-understanding-encoder-decoder-llms",
        "The idea, continued: who follows instructions?",
        (
            INSTRUCTED + r" *(?P<one>[\d.]+)  decoder-only",
            INSTRUCTED + r"(?:.*\n){2} *(?P<two>[\d.]+)  encoder–decoder",
        ),
        supported=lambda n: n["two"] > n["one"],
    ),
    "templates": Finding(
        "",
        "Word each task in several ways: six templates instead of one bring {gain:+.0f} points on "
        "new wordings.",
        "09-instruction-tuning",
        "The two curves",
        recorded={"gain": gained("templates", "its tasks, new wordings")},
        supported=lambda n: n["gain"] > 10,
    ),
    "steps": Finding(
        "",
        "Let a program cut the instruction: four steps are right at {four:.0%} in one call, at "
        "{singly:.0%} in a call for each.",
        "10-challenges",
        "Challenge 3: instructions of several steps",
        recorded=STEPS,
    ),
    "one task": Finding(
        "",
        "Train a model for the one task: BLEU {one:.1f} for translation alone, {many:.1f} for a "
        "model of about that size with all tasks.",
        "06-translation",
        "With a baseline and an interval",
        recorded={
            "one": score("marian-en-fr", "scores", "beam 5", 0, "value"),
            "many": score("t5", "translation en-fr", "scores", "beam 4", 0, "value"),
        },
        supported=lambda n: n["one"] > n["many"],
    ),
    "few pairs": Finding(
        "",
        "Tune few weights: ten captions bring LoRA to chrF {lora:.1f}, all weights to {whole:.1f}, "
        "means of three seeds.",
        "08-fine-tuning",
        "How many examples?",
        recorded={"lora": from_ten("LoRA"), "whole": from_ten("all weights")},
        supported=lambda n: n["lora"] > n["whole"],
    ),
    "forgetting": Finding(
        "",
        "Keep a test of what it knew: everyday sentences fall from chrF {before:.1f} to "
        "{after:.1f} when all weights learn captions.",
        "08-fine-tuning",
        "Forgetting, and a cure",
        (
            r"all weights +[\d,]+ +[\d.]+ \[[^\]]*\] +(?P<after>[\d.]+)",
            r"untuned +[\d.]+ \[[^\]]*\] +(?P<before>[\d.]+)",
        ),
        supported=lambda n: n["after"] < n["before"],
    ),
    "bits": Finding(
        "",
        "Eight bits for a weight take 1/{smaller:.1f} of the bytes and lose {lost:.2f} chrF.",
        "13-future-directions",
        "Fewer bits: rounding from scratch",
        recorded=EIGHT_BITS,
    ),
    "cache once": Finding(
        "",
        "A decoder–decoder keeps its cache once: {factor:.1f} times less than decoder-only for 512 "
        "tokens and eight layers.",
        "12-hybrid-approaches",
        "Hybrid 4: decoder–decoder, a cache that is kept once",
        (r"16, 512 and 65,536 tokens: [\d.]+, (?P<factor>[\d.]+),",),
    ),
    "engine": Finding(
        "",
        "Change the engine first: a sentence takes {before:.1f} ms in PyTorch, {after:.1f} "
        "with eight bits in onnxruntime.",
        "13-future-directions",
        "One picture: quality against time and bytes",
        recorded={
            "before": lambda: 1000 * median("float32"),
            "after": lambda: 1000 * median("onnxruntime, 8 bits"),
        },
        supported=lambda n: n["after"] < n["before"],
    ),
    "draft": Finding(
        "",
        "If the model is large, let a small one draft: {equal:.0f} of {sentences:.0f} texts stay "
        "the same, with {calls:.2f} calls for a token.",
        "13-future-directions",
        "Fewer calls: a draft proposes, the model checks",
        recorded={
            "equal": score("efficiency", "speculation", "ahead", 2, "equal"),
            "sentences": score("efficiency", "speculation", "sentences"),
            "calls": lambda: (
                score("efficiency", "speculation", "ahead", 2, "calls")()
                / score("efficiency", "speculation", "ahead", 2, "tokens")()
            ),
        },
        supported=lambda n: n["equal"] == n["sentences"],
    ),
    "confidence": Finding(
        "",
        "Refuse what the model is unsure of: its confidence tells invented words from real ones "
        "with an AUC of {auc:.2f} [{low:.2f}, {high:.2f}].",
        "10-challenges",
        "Can the model tell?",
        (
            r"words invented +confidence +AUC (?P<auc>[\d.]+) \[(?P<low>[\d.]+), "
            r"(?P<high>[\d.]+)\]",
        ),
        supported=lambda n: n["low"] > 0.5,
    ),
    "blind spot": Finding(
        "",
        "Look at names and numbers as well: reordered words are told apart with an AUC of "
        "{auc:.2f} only.",
        "10-challenges",
        "Can the model tell?",
        (r"words reordered +confidence +AUC (?P<auc>[\d.]+) \[",),
    ),
}


def main(output: Annotated[Path, typer.Option()] = Path("results/verdicts.json")) -> None:
    """Read the figures and write them down."""
    write_json(
        output,
        {
            "name": "verdicts",
            "description": "What the chapters found about each claim of the article.",
            "sentences": list(SENTENCES),
            "codes": list(CODES),
            "rulings": rulings(),
            "grounds": {name: finding.as_dict() for name, finding in GROUNDS.items()},
            "provenance": provenance("python -m benchmarks.verdicts"),
        },
    )


def rulings() -> list[dict[str, Any]]:
    """All rulings with their figures, as they stand in the results file."""
    return [
        {
            "section": ruling.section,
            "claim": ruling.claim,
            "sentence": ruling.sentence.as_dict() if ruling.sentence else None,
            "code": ruling.code.as_dict() if ruling.code else None,
        }
        for ruling in RULINGS
    ]


if __name__ == "__main__":
    typer.run(main)
