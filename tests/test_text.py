import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec.text import TextError, check_text, generate_text


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
