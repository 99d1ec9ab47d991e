"""The forest plot, its positions worked out by pencil."""

import math
import re

import pytest

from lossheads.analysis.drawing import Scale, number_line
from lossheads.analysis.forest import Bar, scale_for, strip
from lossheads.analysis.statistics import Interval

INF = math.inf


def bar(mean=5.0, plain=(4.0, 6.0), tested=(3.0, 7.0), region=(2.0, INF), alt="a picture"):
    return Bar(
        Interval(mean, *plain, 0.95, 0.1, 5),
        Interval(mean, *tested, 0.99, 0.1, 5),
        *region,
        alt,
    )


def drawn(svg, kind):
    """Attributes of every element of a kind."""
    found = re.findall(rf'<(?:line|rect|circle|text) class="{kind}" ([^>]*)', svg)
    return [dict(re.findall(r'([a-z0-9-]+)="([^"]*)"', attributes)) for attributes in found]


def test_everything_stands_where_its_number_is():
    svg = strip(bar(), Scale(0.0, 10.0))
    (region,) = drawn(svg, "region")
    assert (region["x"], region["width"]) == ("20.00%", "80.00%")
    assert [line["x1"] for line in drawn(svg, "border")] == ["20.00%"]
    assert [line["x1"] for line in drawn(svg, "zero")] == ["0.00%"]
    (plain,) = drawn(svg, "plain")
    assert (plain["x1"], plain["x2"]) == ("40.00%", "60.00%")
    whole, low, high = drawn(svg, "tested")
    assert (whole["x1"], whole["x2"]) == ("30.00%", "70.00%")
    assert (low["x1"], low["x2"], high["x1"]) == ("30.00%", "30.00%", "70.00%")
    assert drawn(svg, "mean")[0]["cx"] == "50.00%"


def test_a_region_with_two_borders_shows_both():
    svg = strip(bar(region=(2.0, 9.0)), Scale(0.0, 10.0))
    assert [line["x1"] for line in drawn(svg, "border")] == ["20.00%", "90.00%"]
    assert drawn(svg, "region")[0]["width"] == "70.00%"


def test_zero_is_left_out_where_the_scale_does_not_reach_it():
    assert not drawn(strip(bar(), Scale(1.0, 10.0)), "zero")


def test_an_endless_interval_has_arrows_in_place_of_caps():
    svg = strip(bar(plain=(-INF, INF), tested=(-INF, INF)), Scale(0.0, 10.0))
    assert [text["x"] for text in drawn(svg, "infinite")] == ["0.00%", "100.00%"]
    (whole,) = drawn(svg, "tested")
    assert (whole["x1"], whole["x2"]) == ("0.00%", "100.00%")


def test_an_undefined_mean_says_so_and_draws_no_interval():
    svg = strip(bar(math.nan, (-INF, INF), (-INF, INF)), Scale(0.0, 10.0))
    assert ">undefined<" in svg
    assert drawn(svg, "region")
    assert not drawn(svg, "mean")
    assert not drawn(svg, "tested")


def test_the_scale_reaches_every_finite_end_with_a_twentieth_to_spare():
    bars = [bar(tested=(3.0, 20.0)), bar(plain=(-INF, INF), region=(-INF, 10.0))]
    assert scale_for(bars, with_zero=True) == Scale(-1.0, 21.0)
    # From 2, the lowest border, to 20: a twentieth of 18 is 0.9.
    assert scale_for(bars, with_zero=False) == Scale(pytest.approx(1.1), pytest.approx(20.9))


@pytest.mark.parametrize(("only", "low", "high"), [(0.0, -1.0, 1.0), (5.0, 4.5, 5.5)])
def test_a_lone_number_still_has_a_scale(only, low, high):
    same = (only, only)
    assert scale_for([bar(only, same, same, same)], with_zero=False) == Scale(low, high)


def test_a_group_without_any_number_still_has_a_scale():
    bars = [bar(math.nan, (-INF, INF), (-INF, INF), (-INF, INF))]
    assert scale_for(bars, with_zero=False) == Scale(-1.0, 1.0)


def test_ticks_are_round_numbers_inside():
    assert Scale(-0.5, 10.5).ticks == [0, 2, 4, 6, 8, 10]
    assert Scale(0.0, 6.1).ticks == [0, 2, 4, 6]
    assert Scale(-0.0105, 0.0105).ticks == pytest.approx([-0.01, -0.005, 0.0, 0.005, 0.01])


def test_the_axis_labels_its_ticks_with_the_decimals_they_need():
    labels = re.findall(r">([^<>]+)</text>", number_line(Scale(-0.0105, 0.0105)))
    assert labels == ["-0.010", "-0.005", "0.000", "0.005", "0.010"]
    assert re.findall(r">([^<>]+)</text>", number_line(Scale(-1.1e-6, 1.1e-6)))[-1] == "1e-06"


def test_words_are_escaped():
    svg = strip(bar(alt='"><script>'), Scale(0.0, 10.0))
    assert "<script" not in svg
    assert 'aria-label="&#34;&gt;&lt;script&gt;"' in svg
