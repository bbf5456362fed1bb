"""The views show what the package's sampling draws by, and need nothing but themselves."""

import json
import re

import pytest
import torch

from encdec.decoding import draw
from encdec.sampling_view import SamplingView, distribution, probability_table, sampling_explorer

TOKENS = ["a", "b", "</script><b>c", "d"]
SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0])


def test_nothing_changes_without_options():
    assert torch.allclose(distribution(SCORES), SCORES.softmax(-1))
    assert SCORES.tolist() == [2.0, 1.0, 0.0, -1.0]


def test_each_option_does_what_its_name_says():
    assert torch.allclose(distribution(SCORES, temperature=0.5), (2 * SCORES).softmax(-1))
    two = SCORES[:2].softmax(-1)
    assert torch.allclose(distribution(SCORES, top_k=2)[:2], two)
    assert distribution(SCORES, top_k=2)[2:].tolist() == [0, 0]
    # 0.644 + 0.237 = 0.881: with 0.88 two tokens are enough, with 0.89 a third is needed
    assert (distribution(SCORES, top_p=0.88) > 0).sum() == 2
    assert (distribution(SCORES, top_p=0.89) > 0).sum() == 3
    assert distribution(SCORES, top_p=0.01).tolist() == [1, 0, 0, 0]


def test_samples_come_as_often_as_the_distribution_says():
    wanted = distribution(SCORES, temperature=1.5, top_k=3)
    drawn = draw(wanted.log().expand(20000, -1), torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.bincount(minlength=4) / 20000, wanted, atol=0.02)


def test_the_page_holds_the_scores_and_needs_nothing_from_outside():
    page = SamplingView({"x": SCORES}, TOKENS, name="s")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    assert data["scores"] == [SCORES.tolist()]
    assert data["tokens"] == TOKENS
    assert "http" not in page
    assert page.count("</script>") == 1
    assert 'id="s"' in page
    assert SamplingView({"x": SCORES}, TOKENS).name != SamplingView({"x": SCORES}, TOKENS).name


def test_the_table_begins_with_the_likeliest_and_leaves_out_what_is_cut():
    table = probability_table(distribution(SCORES, top_k=2), TOKENS, 3)
    assert re.findall(r"<th scope='row'>(.*?)</th>", table) == ["a", "b"]
    assert "73%" in table


def test_the_explorer_follows_its_sliders_and_says_what_is_wrong():
    def score(text):
        if text == "bad":
            raise ValueError("<no>")
        return SCORES

    box = sampling_explorer(score, TOKENS, {"x": "x"})
    text, temperature, top_k, top_p, view = box.children
    assert view.value == probability_table(SCORES.softmax(-1), TOKENS, 12)
    top_k.value, temperature.value, top_p.value = 2, 0.5, 0.5
    assert view.value == probability_table(torch.tensor([1.0, 0, 0, 0]), TOKENS, 12)
    text.value = "bad"
    assert view.value == "<em>&lt;no&gt;</em>"


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="scores is empty"):
        SamplingView({}, TOKENS)
    with pytest.raises(ValueError, match=r"scores\['x'\] has shape \(3,\), but there are 4"):
        SamplingView({"x": SCORES[:3]}, TOKENS)
