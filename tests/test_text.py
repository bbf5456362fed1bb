import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec import text
from encdec.text import (
    LONGEST_LINE,
    Answer,
    TextError,
    answer_lines,
    check_text,
    generate_text,
    open_lines,
    read_lines,
)


@pytest.fixture(scope="module")
def translator():
    from encdec import zoo

    return zoo.load("translation", device="cpu", announce=False)


@pytest.fixture(scope="module")
def tokenizer(translator):
    return translator[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        (" \n\t ", "the text is empty"),
        ("word " * 10_000, r"10,000 words \([\d,]+ tokens\).*at most 256 tokens"),
        ("Good morning 😀", r"never seen '😀' \(U\+1F600\)"),
        ("Where is 東京?", "never seen '東'"),
        ("a bell \a rings", r"control character U\+0007"),
        ("half a \ud800 pair", r"control character U\+D800"),
    ],
)
def test_what_the_model_can_not_read_is_refused_in_one_sentence(tokenizer, text, message):
    with pytest.raises(TextError, match=message):
        check_text(text, tokenizer)


@pytest.mark.parametrize("text", ["How are you?", "It’s\nlate.", "Café, naïve, œuvre"])
def test_ordinary_text_is_accepted(tokenizer, text):
    check_text(text, tokenizer)


@given(st.text(max_size=40))
def test_any_text_is_accepted_or_refused_with_a_sentence(tokenizer, text):
    message = "accepted."
    try:
        check_text(text, tokenizer)
    except TextError as error:
        message = str(error)
    assert message.endswith(".")


def test_answers_come_back_in_order_whatever_the_batches(translator):
    texts = ["She speaks three languages.", "Yes.", "I found my keys.", "Come with me."]
    options = {"num_beams": 2, "max_new_tokens": 30}
    done = []
    together = generate_text(*translator, texts, batch_size=3, on_batch=done.append, **options)
    assert together == [generate_text(*translator, [text], **options)[0] for text in texts]
    assert done == [3, 4]


def test_no_text_gives_no_answer(translator):
    assert generate_text(*translator, []) == []


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff"), max_size=20)))
def test_lines_are_read_as_they_were_written(lines):
    written = io.StringIO("".join(f"{line}\n" for line in lines), newline="\n")
    assert list(read_lines(written)) == lines


def test_a_byte_order_mark_and_ends_of_lines_are_no_text():
    written = io.StringIO("\ufeffone\r\ntwo\n\nlast", newline="\n")
    assert list(read_lines(written)) == ["one", "two", "", "last"]


def test_a_line_without_end_is_cut_and_the_next_one_is_whole():
    long = "x" * (3 * LONGEST_LINE + 5)
    assert list(read_lines(io.StringIO(f"{long}\nnext\n"))) == ["x" * LONGEST_LINE, "next"]
    exact = "x" * LONGEST_LINE
    assert list(read_lines(io.StringIO(f"{exact}\nnext\n"))) == [exact, "next"]


def test_each_line_is_answered_by_itself(translator):
    lines = ["Where is the sea?", "", "Where is 東京?", "x" * LONGEST_LINE, "I found my keys."]
    options = {"num_beams": 2, "max_new_tokens": 30}
    found = list(answer_lines(*translator, lines, window=2, **options))
    whole = generate_text(*translator, [lines[0], lines[4]], **options)
    assert found[0] == Answer(1, whole[0])
    assert found[1] == Answer(2, "")
    assert "never seen '東'" in found[2].problem
    assert "20,000 characters or more" in found[3].problem
    assert found[4] == Answer(5, whole[1])
    assert [answer.text for answer in found[2:4]] == ["", ""]


def test_a_line_that_is_not_utf8_is_named_and_the_next_one_is_read(translator, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"caf\xe9\r\ncaf\xc3\xa9 \xe2\x80\xa8 au lait\n")
    with open_lines(path) as file:
        first, second = read_lines(file)
    [answer] = answer_lines(*translator, [first])
    assert answer.problem == "the line is not UTF-8 text: byte 0xE9 can't be read."
    assert second == "café \u2028 au lait"


def test_no_more_lines_are_read_than_are_being_answered(tokenizer, monkeypatch):
    """10,000 lines go through; never are more than a window of them held."""
    monkeypatch.setattr(text, "generate_text", lambda model, tokenizer, texts: list(texts))
    read, written = [0], 0

    def sentences():
        for number in range(10_000):
            read[0] += 1
            yield f"Room {number} is free.\n".strip()

    for answer in answer_lines(None, tokenizer, sentences(), window=100):
        written += 1
        assert answer == Answer(written, f"Room {written - 1} is free.")
        assert read[0] - written < 100
    assert written == 10_000
