import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from encdec import masking_view, plots
from encdec.decoding import BeamStep, Candidate
from encdec.objectives import FRAME, MASK, Denoised, causal_lm


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


NAMES = {1: "</s>", 9: "<0>", 10: "<1>", 20: "the", 21: "cat", 22: "sat"}
CORRUPTED = Denoised(
    [20, 9, 22, 1], [9, 21, 10, 1], [0, MASK, 2, FRAME], [MASK, 1, MASK, FRAME]
)  # "the cat sat" with "cat" hidden


def boxes(ax):
    """Rectangle and text of every token."""
    return list(
        zip(ax.patches, [t for t in ax.texts if t.get_family() == ["monospace"]], strict=True)
    )


def test_masked_tokens_show_input_and_target():
    ax = plots.masked_tokens(CORRUPTED, NAMES.get, "One word is hidden")
    assert ax.get_title(loc="left") + ax.get_title() == "One word is hidden"
    shown = [text.get_text() for _, text in boxes(ax)]
    assert shown == ["the", "<0>", "sat", "</s>", "<0>", "cat", "<1>", "</s>"]
    assert [t.get_text() for t in ax.texts if t.get_text() in ("input", "target")] == [
        "input",
        "target",
    ]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        masking_view.VISIBLE,
        masking_view.STAND_IN,
        masking_view.HIDDEN,
        masking_view.AROUND,
    ]


def test_what_is_to_be_predicted_stands_below_its_sentinel():
    ax = plots.masked_tokens(CORRUPTED, NAMES.get, "")
    drawn = boxes(ax)
    (hidden,) = [rectangle for rectangle, text in drawn if text.get_text() == "cat"]
    sentinel = next(rectangle for rectangle, text in drawn if text.get_text() == "<0>")
    assert hidden.get_y() < sentinel.get_y()
    assert sentinel.get_x() < hidden.get_x()
    assert hidden.get_x() + hidden.get_width() == pytest.approx(
        sentinel.get_x() + sentinel.get_width()
    )


def test_tokens_stay_inside_their_boxes_and_boxes_inside_the_figure():
    ax = plots.masked_tokens(causal_lm([20, 21, 22] * 30, eos_token_id=1), NAMES.get, "Long")
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    page = ax.figure.bbox
    for rectangle, text in boxes(ax):
        outer, inner = rectangle.get_window_extent(renderer), text.get_window_extent(renderer)
        assert outer.x0 <= inner.x0
        assert inner.x1 <= outer.x1
        assert page.x0 <= outer.x0
        assert outer.x1 <= page.x1
    assert "(nothing)" in texts(ax)


def contrast(a, b):
    """Ratio of luminances as the Web Content Accessibility Guidelines define it."""

    def luminance(colour):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_tokens_can_be_read_on_their_boxes():
    for fill, ink, _ in plots._BOXES.values():
        assert contrast(fill, ink) >= 4.5
    hidden = plots._BOXES[masking_view.HIDDEN][0]
    stand_in = plots._BOXES[masking_view.STAND_IN][0]
    assert contrast(hidden, stand_in) > 1.5  # in grey too
    assert contrast("white", hidden) > 3


def test_sentences_in_another_order_are_numbered():
    shuffled = Denoised([22, 20, 21, 1], [20, 21, 22, 1], [2, 0, 1, FRAME], [0, 1, 2, FRAME])
    ax = plots.masked_tokens(shuffled, NAMES.get, "")
    numbers = [t.get_text() for t in ax.texts if t.get_text().isdigit()]
    assert numbers == ["2", "1", "1", "2"]
