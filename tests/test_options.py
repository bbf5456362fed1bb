"""A wish that makes no sense is answered with its name, its value and what would be right."""

from types import SimpleNamespace

import pytest
import torch

from encdec.options import GenerationOptions


def resolve(generation=None, **given):
    config = SimpleNamespace(pad_token_id=0, eos_token_id=1, generation=generation or {})
    return GenerationOptions.resolve(config, given)


def test_caller_before_checkpoint_before_the_usual():
    options = resolve({"num_beams": 4, "length_penalty": 0.6}, num_beams=2)
    assert (options.num_beams, options.length_penalty, options.repetition_penalty) == (2, 0.6, 1.0)
    assert (options.pad_token_id, options.eos_token_id) == (0, 1)


def test_a_callers_limit_replaces_the_checkpoints_whichever_way_it_counts():
    assert resolve({"max_length": 20}, max_new_tokens=5).max_length is None
    assert resolve({"max_new_tokens": 20}, max_length=5).max_new_tokens is None
    assert resolve({"min_length": 20}, min_new_tokens=5).min_length == 0


def test_advice_for_sampling_is_no_contradiction_while_searching():
    assert resolve({"top_k": 10, "temperature": 0.7}).top_k == 10


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"num_beams": 0}, "num_beams=0 must be at least 1"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be at least 1"),
        ({"max_length": 1}, "max_length=1 must be at least 2"),
        ({"min_new_tokens": -1}, "min_new_tokens=-1 must be at least 0"),
        ({"num_return_sequences": 0}, "num_return_sequences=0 must be at least 1"),
        (
            {"num_beams": 2, "num_return_sequences": 3},
            "num_return_sequences=3 is more than num_beams=2",
        ),
        ({"early_stopping": "always"}, "early_stopping='always' must be True, False or \"never\""),
        ({"no_repeat_ngram_size": -2}, "no_repeat_ngram_size=-2 must be at least 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0.0 must be above 0"),
        (
            {"do_sample": True, "temperature": 0.0},
            "temperature=0.0 must be above 0.*do_sample=False",
        ),
        ({"do_sample": True, "top_k": 0}, "top_k=0 must be at least 1, or None"),
        ({"do_sample": True, "top_p": 1.5}, "top_p=1.5 must be above 0 and at most 1"),
        ({"do_sample": True, "min_p": -0.1}, "min_p=-0.1 must be between 0 and 1"),
        ({"temperature": 0.7}, "temperature=0.7 has an effect in sampling only"),
        ({"generator": torch.Generator()}, "generator=.* has an effect in sampling only"),
        ({"do_sample": True, "num_beams": 4}, "do_sample=True with num_beams=4"),
        ({"do_sample": True, "return_trace": True}, "return_trace=True shows the tree"),
        ({"max_new_tokens": 3, "max_length": 4}, "max_new_tokens=3 and max_length=4 both limit"),
    ],
)
def test_impossible_values(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        resolve(**given)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"num_beams": 2.5}, "num_beams=2.5 is a float, but must be int"),
        ({"num_beams": True}, "num_beams=True is a bool, but must be int"),
        ({"max_new_tokens": "5"}, "max_new_tokens='5' is a str, but must be int"),
        ({"length_penalty": "long"}, "length_penalty='long' is a str, but must be int or float"),
        ({"do_sample": 1}, "do_sample=1 is a int, but must be bool"),
        ({"num_beans": 4}, "unknown option 'num_beans': did you mean 'num_beams'?"),
        ({"typical_p": 0.5}, "unknown option 'typical_p'"),
        ({"xyzzy": 1}, "unknown option 'xyzzy': options are max_new_tokens"),
    ],
)
def test_wrong_types_and_unknown_options(given, complaint):
    with pytest.raises(TypeError, match=complaint.replace("?", r"\?")):
        resolve(**given)
