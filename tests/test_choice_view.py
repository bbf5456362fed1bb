"""The answer to “which one for my case?” follows from the figures."""

import json
import re
from dataclasses import replace

import pytest

from encdec import choice_view
from encdec.choice_view import ALL, LITTLE, Case, ChoiceView, advice, choice_table, rows
from encdec.compare import CompareError


def entry(system, matching, score, seconds, loss):
    return {
        "system": system,
        "matching": matching,
        "tuning": {"tried": [{"losses": {"translation": loss}}, {"losses": {"translation": 9}}]},
        "runs": [
            {"scores": {"translation": [{"value": score, "low": score - 1, "high": score + 1}]}}
        ],
        "costs": {
            "decoding": [
                {
                    "source": s,
                    "target": 4,
                    "batch": 1,
                    "seconds": seconds * s,
                    "cache_bytes": 1000 * s,
                }
                for s in (8, 16)
            ]
        },
    }


OUTCOME = {
    "tests": {"translation": 100},
    "systems": [
        entry("encoder-decoder", "both", 30.0, 0.002, 2.0),
        entry("lstm", "flops", 20.0, 0.001, 1.5),
        entry("prefix-<lm>", "parameters", 29.0, 0.004, 3.0),
    ],
}
CASE = Case("translation", 8, 4, 1, 100.0)


def test_the_best_that_is_fast_enough_comes_first():
    found = rows(OUTCOME, CASE)
    assert [row.name.split(" ")[0] for row in found] == ["encoder–decoder", "prefix-<lm>", "LSTM"]
    assert advice(OUTCOME, CASE) == (
        "Take encoder–decoder, the fastest of 2 that can't be told apart by score: the others are "
        "prefix-<lm> (equal parameters)."
    )
    assert found[0].cache_bytes == 8000


def test_a_limit_of_time_changes_the_answer():
    assert advice(OUTCOME, replace(CASE, milliseconds=20.0)).startswith("Take encoder–decoder: no")
    assert advice(OUTCOME, replace(CASE, milliseconds=10.0)).startswith("Take LSTM (equal FLOPs)")
    none = advice(OUTCOME, replace(CASE, milliseconds=1.0))
    assert none == "None is fast enough; the fastest, LSTM (equal FLOPs), takes 8 ms."
    assert [row.fits for row in rows(OUTCOME, replace(CASE, milliseconds=20.0))] == [
        True, True, False,
    ]  # fmt: skip


def test_with_little_training_the_loss_decides():
    case = replace(CASE, data=LITTLE)
    assert rows(OUTCOME, case)[0].score == -1.5
    assert "loss is the lowest" in advice(OUTCOME, case)
    assert "<th scope='col'>− loss</th>" in choice_table(OUTCOME, case)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skill": "poetry"}, "skill='poetry' was not tested; tested were translation"),
        ({"data": "none"}, "data='none' must be"),
        ({"source": 9}, "source=9, target=4, batch=1 was not measured"),
    ],
)
def test_what_was_not_measured_is_said(change, message):
    with pytest.raises(CompareError, match=message):
        rows(OUTCOME, replace(CASE, **change))


def test_the_static_twin_holds_all_figures_and_asks_for_nothing():
    page = ChoiceView(OUTCOME, "here")._repr_html_()
    for unwanted in ("http", "{{", "<lm>"):
        assert unwanted not in page
    data = json.loads(re.search(r"const data = (.*);\n", page)[1])
    assert data["choices"]["source"] == [8, 16]
    assert data["systems"][0]["scores"]["translation"][ALL] == [30, 29, 31]
    assert data["systems"][2]["costs"]["16 4 1"] == [64.0, 16000]
    start = choice_view.first_case(OUTCOME)
    assert data["start"]["limit"] == start.milliseconds == data["choices"]["limit"][-1]
    assert all(row.fits for row in rows(OUTCOME, start))


def test_the_widget_follows_its_menus():
    box = choice_view.choice_explorer(OUTCOME)
    *menus, view = box.children
    limit = next(menu for menu in menus if menu.description == "milliseconds")
    limit.value = limit.options[0]
    assert view.value == choice_table(
        OUTCOME, replace(choice_view.first_case(OUTCOME), milliseconds=limit.options[0])
    )
