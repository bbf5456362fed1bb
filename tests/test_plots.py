import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch

from encdec import plots
from encdec.decoding import BeamStep, Candidate


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_an_attention_map_shows_the_weights_and_names_the_tokens():
    weights = torch.eye(2, 3)
    ax = plots.attention_map(weights, ["a", "b", "c"], ["x", "y"], "Diagonal")
    assert ax.images[0].get_array().tolist() == weights.tolist()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["x", "y"]
    assert "Diagonal" in (ax.get_title(), ax.get_title(loc="left"))


def test_an_attention_map_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but there are 1 target and 3 source"):
        plots.attention_map(torch.eye(2, 3), ["a", "b", "c"], ["x"], "")


def test_intervals_write_every_value():
    scores = {
        "a": {"value": 40.0, "low": 38, "high": 42},
        "b": {"value": 9.5, "low": 9, "high": 10},
    }
    assert texts(plots.intervals(scores, "", "BLEU")) == ["40.0", "9.5"]


def test_a_curve_draws_its_points_and_its_band():
    points = {str(n): {"value": n, "low": n - 1, "high": n + 1} for n in (1, 2, 3)}
    ax = plots.curve(points, "", "words", "chrF")
    assert ax.lines[0].get_ydata().tolist() == [1, 2, 3]
    assert len(ax.collections) == 1


def test_the_beam_tree_holds_survivors_and_endings_and_marks_the_way_to_the_winner():
    def c(parent, token, log_prob, finished=False):
        return Candidate(parent, token, log_prob, finished)

    first = (c(0, 5, -0.1), c(0, 6, -0.5))
    ended, loser = c(0, 0, -0.4, finished=True), c(1, 0, -9.0, finished=True)
    second = (c(1, 7, -0.7), c(0, 8, -0.9))
    steps = [
        BeamStep(candidates=first, kept=first),
        BeamStep(candidates=(ended, *second, loser), kept=second),
    ]
    ax = plots.beam_tree(steps, [5, 0], str, "")
    shown = texts(ax)
    assert shown[0] == "start"
    assert sorted(shown[1:]) == sorted(["5\n-0.10", "6\n-0.50", "0\n-0.40", "7\n-0.70", "8\n-0.90"])
    bold = [text.get_text() for text in ax.texts if text.get_weight() == "bold"]
    assert bold == ["start", "5\n-0.10", "0\n-0.40"]
    assert len(ax.lines) == 5
