"""The command line: ``python -m encdec --help``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

from encdec.errors import explain

output, errors = Console(), Console(stderr=True)
RESUMING = ("train", "compare")  # commands that go on where they were interrupted


class OneSentence(TyperGroup):
    """Commands of which an error that the reader can mend is one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; 1 after an error, 130 after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            again = "goes on from it" if ctx.invoked_subcommand in RESUMING else "begins again"
            kept = "the last checkpoint is kept and " * (ctx.invoked_subcommand in RESUMING)
            errors.print(f"interrupted; {kept}the same command {again}", soft_wrap=True)
            raise typer.Exit(130) from error
        except BrokenPipeError:  # as in `… | head`: who read has seen enough
            raise
        except Exception as error:
            sentence = explain(error)
            if sentence is None:  # a fault of the package: where it happened is what helps
                raise
            errors.print("[red]error:[/red] ", end="")
            errors.print(sentence, markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=OneSentence,
    help="Helpers of the book “Encoder–Decoder LLMs for Instruction Tasks”.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error: ``update(text, done, total)``; silent where nobody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)

        def update(text: str, done: int, total: int) -> None:
            progress.update(task, description=text, completed=done, total=total)

        yield update


@app.command()
def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe, e.g. recipes/marian-en-fr.yaml")
    ] = None,
    smoke: Annotated[bool, typer.Option(help="Take the whole path in less than a minute.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Instead of a recipe: your pairs, .csv, .tsv or .jsonl")
    ] = None,
    source: Annotated[str, typer.Option(help="The column that is read.")] = "source",
    target: Annotated[str, typer.Option(help="The column that is to be written.")] = "target",
    start: Annotated[str, typer.Option(help="The model to start from.")] = "marian-en-fr",
    prefix: Annotated[str, typer.Option(help="Text to put before every source.")] = "",
    epochs: Annotated[int, typer.Option(help="How often every pair is seen.")] = 5,
    name: Annotated[str | None, typer.Option(help="Of the run; the file's if not given.")] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="Where checkpoints go: runs/, or on Colab your Drive if it is mounted."),
    ] = None,
) -> None:
    """Train, score and save the model of a RECIPE, or tune one of the book's on your own --data.

    Run it again to continue after a kill.
    """
    from encdec import experiment, zoo
    from encdec.data.files import read_pairs
    from encdec.environment import quieten, runs_folder
    from encdec.recipe import RecipeError, fine_tuning_recipe, load_recipe
    from encdec.training import keep_freed_memory

    quieten()
    keep_freed_memory()
    runs = runs or runs_folder()
    with progress_bar() as update:

        def report(line: dict[str, Any]) -> None:
            speed = line["tokens"] / max(line["seconds"], 0.1)
            text = f"epoch {line['epoch'] + 1}  loss {line['loss']:.3f}  {speed:,.0f} tokens/s"
            update(text, line["step"], line["of"])

        if recipe and not data:
            path = recipe
        elif data and not recipe and not smoke:
            if start not in zoo.available():
                raise RecipeError(
                    f"there is no model {start!r} to start from; at hand are: "
                    f"{', '.join(zoo.available())}."
                )
            pairs = read_pairs(data, source, target)  # a fault of the file leaves no folder behind
            warn_of(pairs, start, prefix)
            made = fine_tuning_recipe(
                data,
                source=source,
                target=target,
                start=load_recipe(zoo.models_folder() / start / "recipe.yaml"),
                name=name or re.sub(r"[^a-z0-9]+", "-", data.stem.lower()).strip("-") or "data",
                prefix=prefix,
                epochs=epochs,
            )
            path = experiment.prepare(made, runs=runs)
        else:
            raise RecipeError("give a recipe, with or without --smoke, or --data and its options.")
        outcome = experiment.run(
            path,
            smoke=smoke,
            runs=runs,
            report=report,
            on_batch=update,
        )
        if outcome:
            print_scores(outcome)
            if data is not None:
                run = outcome["name"]
                model = (runs / run / "model").as_posix()
                for line in (
                    f"The model is in {model}, its scores are in results/{run}.json.",
                    f'Try it: python -m encdec answer {model} "a text of your own"',
                ):
                    output.print(line, highlight=False, soft_wrap=True)


def warn_of(pairs: list[Any], start: str, prefix: str) -> None:
    """Say of one's own pairs what will be lost: too long for the model, or not in its alphabet."""
    from encdec import zoo
    from encdec.answers import Answerer
    from encdec.mixture import with_prefix
    from encdec.recipe import RecipeError, load_recipe

    folder = zoo.models_folder() / start
    encoder = Answerer.load(folder, load_recipe(folder / "recipe.yaml")).encoder
    kept = encoder.fitting(with_prefix(pairs, prefix))
    if not kept:
        raise RecipeError(
            f"all {len(pairs)} pairs are longer than the {encoder.max_length} tokens that {start} "
            "takes: shorten them."
        )
    strange = 0
    for pair in kept:
        source, answer = encoder.encode(pair)
        strange += encoder.tokenizer.unk_token_id in [*source, *answer]
    for number, fault in (
        (len(pairs) - len(kept), f"left out, longer than the {encoder.max_length} tokens"),
        (strange, "with characters that are new to it, beyond the alphabet"),
    ):
        if number:
            note = f"note: {number:,} of {len(pairs):,} pairs {fault} of {start}."
            errors.print(note, highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder, e.g. models/marian-en-fr")],
    json: Annotated[Path | None, typer.Option(help="Write the scores to this file too.")] = None,
) -> None:
    """Score a MODEL folder on what its recipe holds out."""
    from encdec import scoring
    from encdec.results import provenance, write_json

    with progress_bar() as update:
        outcome = scoring.evaluate(model, on_batch=update)
        print_scores(outcome)
        if json:
            command = f"python -m encdec evaluate {model.as_posix()}"
            write_json(json, outcome | {"provenance": provenance(command)})


@app.command()
def answer(
    model: Annotated[Path, typer.Argument(help="A model folder, e.g. runs/my-data/model")],
    text: Annotated[str, typer.Argument(help="What the model reads.")],
    num_beams: Annotated[
        int | None, typer.Option(help="1 for greedy search; as its recipe says if not given.")
    ] = None,
) -> None:
    """Let a MODEL folder answer a TEXT.

    A prefix that the model was tuned with is put before it.
    """
    from encdec import text as texts
    from encdec.answers import Answerer
    from encdec.environment import quieten
    from encdec.recipe import load_recipe
    from encdec.zoo import ZooError

    quieten()
    if not (model / "recipe.yaml").exists():
        raise ZooError(
            f"there is no recipe.yaml in {model}: name a model folder of this book, or one that "
            "`python -m encdec train --data` has made."
        )
    recipe = load_recipe(model / "recipe.yaml")
    answerer = Answerer.load(model, recipe)
    texts.check_text(text, answerer.tokenizer)
    changes = {} if num_beams is None else {"num_beams": num_beams}
    [found] = answerer.answer([recipe.own_prefix + text], **changes)
    output.print(found, markup=False, highlight=False, soft_wrap=True)


@app.command()
def translate(
    text: Annotated[
        str | None,
        typer.Argument(help="An English sentence; - reads lines from standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Instead: a file of plain text, a sentence on each line.")
    ] = None,
    to: Annotated[str, typer.Option(help="Target language.")] = "fr",
    source: Annotated[
        str, typer.Option(help="The book's own model, or the Hub's: book, hub")
    ] = "book",
    num_beams: Annotated[int, typer.Option(help="1 for greedy search.")] = 5,
) -> None:
    """Translate one English TEXT, or lines: each gives a line, as soon as it is there."""
    from encdec import text as texts
    from encdec import zoo

    if to != "fr":
        raise zoo.ZooError(f"there is no model for English to {to!r}; the book translates to 'fr'.")
    if (text is None) == (file is None):
        raise texts.TextError("give a sentence, - or --file, and only one of them.")
    options: dict[str, Any] = {"num_beams": num_beams, "max_new_tokens": 128}
    if text is None or text == "-":
        with texts.open_lines(file) as lines:
            model, tokenizer = zoo.load("translation", source, announce=False)
            window = 1 if lines.isatty() else texts.WINDOW
            read = texts.read_lines(lines)
            write_lines(texts.answer_lines(model, tokenizer, read, window=window, **options))
        return
    model, tokenizer = zoo.load("translation", source, announce=False)
    texts.check_text(text, tokenizer)
    [answer] = texts.generate_text(model, tokenizer, [text], **options)
    output.print(answer, markup=False, highlight=False, soft_wrap=True)


@app.command()
def summarize(
    text: Annotated[
        str, typer.Argument(help="Text or code; - reads it from standard input.")
    ] = "-",
    file: Annotated[
        Path | None, typer.Option(help="Instead: a Python file, or a file of plain text.")
    ] = None,
    module: Annotated[
        str | None, typer.Option(help="Instead: a Python module, e.g. json.decoder")
    ] = None,
    source: Annotated[
        str, typer.Option(help="The book's own model, or the Hub's: book, hub")
    ] = "book",
    num_beams: Annotated[int, typer.Option(help="1 for greedy search.")] = 4,
) -> None:
    """Summarise TEXT in one sentence, or every function of a Python file or module.

    The book's own model learnt from Python functions; for prose take --source hub.
    """
    from encdec import summarizer, zoo
    from encdec import text as texts
    from encdec.environment import quieten
    from encdec.summaries import SummaryError

    quieten()
    with progress_bar() as update:
        if (text != "-") + (file is not None) + (module is not None) > 1:
            raise SummaryError("give a text, --file or --module, and only one of them.")
        path = summarizer.module_path(module) if module is not None else file
        functions = []
        if path and (module is not None or path.suffix == ".py"):
            functions = summarizer.read_functions(path)
        elif path:
            if not path.is_file():
                raise SummaryError(f"there is no file {path}.")
            text = path.read_text(encoding="utf8")
        elif text == "-":
            text = sys.stdin.read()
        model, tokenizer = zoo.load("summarization", source, announce=False)
        options = summarizer.OPTIONS | {"num_beams": num_beams}
        if functions:
            found = summarizer.summarize(
                model,
                tokenizer,
                functions,
                on_batch=lambda done: update("summaries", done, len(functions)),
                **options,
            )
            for function, summary in zip(functions, found, strict=True):
                line = f"{function.name}: {summary}"
                output.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        texts.check_text(text, tokenizer)
        [answer] = texts.generate_text(model, tokenizer, [" ".join(text.split())], **options)
        output.print(answer, markup=False, highlight=False, soft_wrap=True)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model folder, e.g. models/marian-en-fr")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
    bits: Annotated[int, typer.Option(help="8 for rounded weights, 32 for floats.")] = 8,
    report: Annotated[
        Path | None, typer.Option(help="Compare with PyTorch on held-out text; write it here.")
    ] = None,
) -> None:
    """Write a MODEL as ONNX, which a browser can run."""
    from encdec import exported, zoo
    from encdec.environment import quieten
    from encdec.export import export as write
    from encdec.results import write_json

    quieten()
    with progress_bar() as update:
        pair = zoo.load_folder(model, device="cpu")
        sizes = write(*pair, to, bits=bits)  # type: ignore[arg-type]
        for name, size in sizes.items():
            output.print(f"{size:>10,} bytes  {name}", highlight=False)
        if report:
            write_json(
                report, exported.measure(model, lambda name, of, done: update(name, done, of))
            )


@app.command()
def compare(
    recipe: Annotated[Path, typer.Argument(help="A comparison.")] = Path(
        "recipes/compare/compare.yaml"
    ),
    smoke: Annotated[bool, typer.Option(help="Take the whole path in less than a minute.")] = False,
    plan: Annotated[bool, typer.Option(help="Only say what would be done, and how long.")] = False,
) -> None:
    """Train and score five designs side by side, at equal size and at equal cost.

    Finished runs are kept: run it again to continue after a kill.
    """
    from encdec import compare as comparing
    from encdec.environment import quieten
    from encdec.training import keep_freed_memory

    quieten()
    keep_freed_memory()
    with progress_bar() as update:
        if plan:
            asked = comparing.load_comparison(recipe)
            asked = asked.smoke() if smoke else asked
            print_plan(comparing.prepare(asked, smoke=smoke), Path("runs") / f"{asked.name}-plan")
            return

        def report(line: dict[str, Any]) -> None:
            update(f"{line['run']}  loss {line['loss']:.3f}", line["step"], line["of"])

        def on_run(name: str, number: int, total: int) -> None:
            errors.print(f"{number} of {total}  {name}", highlight=False)

        outcome = comparing.run(recipe, smoke=smoke, report=report, on_batch=update, on_run=on_run)
        print_comparison(outcome)


@app.command()
def doctor() -> None:
    """Check this machine: versions, device, network, models and data at hand."""
    from encdec import environment

    report = environment.doctor()
    table = Table(show_header=False, box=None)
    for row in report.rows:
        table.add_row(*row)
    output.print(table)
    if report.problems:
        errors.print(f"[red]error:[/red] {report.problems[0]}", soft_wrap=True)
        raise typer.Exit(1)


def write_lines(answers: Iterator[Any]) -> None:
    """Write each translation when it comes; 1 if a line has none, 130 after Ctrl-C."""
    written = refused = 0
    try:
        for answer in answers:
            if answer.problem:
                refused += 1
                said = f"line {answer.number}: {answer.problem}"
                errors.print(said, markup=False, highlight=False, soft_wrap=True)
            typer.echo(answer.text)  # a line, and out with it
            written = answer.number
    except KeyboardInterrupt as error:
        errors.print(f"interrupted; {written:,} lines are written, go on with line {written + 1:,}")
        raise typer.Exit(130) from error
    if refused:
        said = f"{refused:,} of {written:,} lines could not be translated; the reasons are above."
        errors.print(f"[red]error:[/red] {said}", soft_wrap=True)
        raise typer.Exit(1)


def print_plan(comparison: Any, folder: Path) -> None:
    """What a comparison would train, and how long each system takes on this machine."""
    from encdec.compare import forecast

    heads = ("system", "parameters", "FLOP an example", "steps an epoch", "s a step", "minutes")
    table, total = Table(*heads), 0.0
    for each in forecast(comparison, folder):
        total += each.minutes
        table.add_row(
            each.candidate.name,
            f"{each.candidate.parameters:,}",
            f"{each.flops / 1e6:,.0f} M",
            str(each.steps),
            f"{each.step_seconds:.3f}",
            f"{each.minutes:.1f}",
        )
    output.print(table)
    output.print(f"Together {total / 60:.1f} hours on this machine, without measuring costs.")


def print_comparison(outcome: dict[str, Any]) -> None:
    """The scores of all systems, each as the mean of its seeds."""
    from encdec.compare import across_seeds

    skills = list(outcome["tests"])
    table = Table("system", "equal", "parameters", "FLOP an example", *skills)
    for entry in outcome["systems"]:
        found = [across_seeds(entry, skill) for skill in skills]
        table.add_row(
            entry["system"],
            entry["matching"],
            f"{entry['parameters']:,}",
            f"{entry['flops'] / 1e6:,.0f} M",
            *(f"{each['mean']:.1f} ({each['lowest']:.1f}–{each['highest']:.1f})" for each in found),
        )
    output.print(table)


def print_scores(outcome: dict[str, Any]) -> None:
    """The scores of an outcome, a table for each skill, each score with its interval."""
    from encdec.card import figure, score_rows, test_size
    from encdec.scoring import reports

    for name, report in reports(outcome).items():
        rows = score_rows(report)
        title = ", ".join(filter(None, (name, f"tested on {test_size(report)}")))
        table = Table("system", *(score["name"] for score in rows[0][1]), title=title)
        for system, scores in rows:
            table.add_row(system, *map(figure, scores))
        output.print(table, markup=False)
        for share in ("distinct", "stutters"):
            for system, score in report.get(share, {}).items():
                output.print(f"{share}, {system}: {figure(score)}%", markup=False, highlight=False)
    for source, answer in outcome["prompts"].items():
        output.print(f"{source}  →  {answer}", markup=False, highlight=False)


if __name__ == "__main__":
    app()
