import json
import sys

import pytest
from transformers import AutoTokenizer

from encdec import zoo
from encdec.summaries import SummaryError
from encdec.summarizer import OPTIONS, SOURCE_TOKENS, module_path, read_functions, shorten


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(zoo.models_folder() / "marian-en-fr")


def test_a_short_text_stays_and_a_long_one_is_cut_after_a_word(tokenizer):
    texts = ["How are you?", "good morning " * 50]
    kept, cut = shorten(texts, tokenizer, 20)
    assert cut == 1
    assert kept[0] == texts[0]
    assert texts[1].startswith(kept[1])
    assert kept[1].split()[-1] in ("good", "morning")
    assert len(tokenizer(kept[1]).input_ids) == 20


def test_even_a_single_long_word_is_cut(tokenizer):
    [kept], cut = shorten(["x" * 300], tokenizer, 10)
    assert cut == 1
    assert 0 < len(tokenizer(kept).input_ids) <= 12
    with pytest.raises(SummaryError, match="tokens=1"):
        shorten(["a"], tokenizer, 1)


def test_the_settings_are_those_of_the_recipe():
    from pathlib import Path

    from encdec.recipe import load_recipe

    recipe = load_recipe(Path(__file__).parents[1] / "recipes" / "pegasus-docstrings.yaml")
    settings = vars(recipe.evaluation)
    assert {name: settings[name] for name in OPTIONS} == OPTIONS
    limits = {ingredient.kind.source_limit for ingredient in recipe.stages[-1].mixture}
    assert limits == {SOURCE_TOKENS}


def test_a_module_is_found_and_not_imported():
    assert "wave" not in sys.modules
    names = [function.name for function in read_functions(module_path("wave"))]
    assert "Wave_read.readframes" in names
    assert "wave" not in sys.modules
    assert module_path("json") == module_path("json").with_name("__init__.py")
    assert json.__file__ == str(module_path("json"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_module", "no module 'no_such_module'"),
        ("json.nothing.more", "no module 'json.nothing.more'"),
        ("", "no module ''"),
        ("math", "no source in Python"),
        ("sys", "no source in Python|no module"),
    ],
)
def test_what_is_no_module_is_said(name, sentence):
    with pytest.raises(SummaryError, match=sentence):
        module_path(name)


def test_what_is_no_python_is_said(tmp_path):
    path = tmp_path / "a.py"
    with pytest.raises(SummaryError, match="can't be read: No such file"):
        read_functions(path)
    path.write_text("def f(:\n")
    with pytest.raises(SummaryError, match="can't be read as Python"):
        read_functions(path)
    path.write_text("x = 1\n")
    with pytest.raises(SummaryError, match="holds no function"):
        read_functions(path)
