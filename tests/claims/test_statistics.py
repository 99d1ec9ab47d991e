"""Intervals, words, corrections: against pencil, tables and brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lossheads.claims.contest import ALPHA
from lossheads.claims.statistics import (
    Interval,
    Region,
    further_seeds,
    holm_levels,
    second_opinion,
    t_interval,
    two_sided_p,
)

INF = math.inf
ABOVE = Region(0.0, INF, open=True)
WITHIN = Region(-1.0, 1.0)


def test_interval_of_one_to_five_by_pencil():
    # Mean 3, variance 2.5, standard error sqrt(2.5 / 5); t(0.975, 4 d.o.f.) = 2.776 (any table).
    interval = t_interval([1, 2, 3, 4, 5])
    half = 2.7764451 * math.sqrt(0.5)
    assert (interval.mean, interval.n) == (3.0, 5)
    assert interval.low == pytest.approx(3 - half, abs=1e-6)
    assert interval.high == pytest.approx(3 + half, abs=1e-6)


def test_interval_of_two_values_uses_one_degree_of_freedom():
    # t(0.975, 1) = 12.706; deviation of (0, 2) is sqrt 2, its standard error 1.
    assert t_interval([0.0, 2.0]).high == pytest.approx(1 + 12.7062047, abs=1e-6)


def test_one_value_says_nothing_and_equal_values_say_everything():
    assert t_interval([0.3]).low == -INF
    assert t_interval([0.3]).high == INF
    same = t_interval([0.1 + 0.2] * 3)
    assert same.low == same.mean == same.high == 0.1 + 0.2


@pytest.mark.parametrize(
    ("region", "low", "high", "word"),
    [
        (ABOVE, 0.1, 0.2, "holds"),
        (ABOVE, -0.1, 0.2, "undecided"),
        (ABOVE, -0.2, -0.1, "fails"),
        (ABOVE, 0.0, 0.0, "fails"),  # "greater" is strict: no difference is not greater
        (Region(-INF, -0.5, open=True), -0.7, -0.6, "holds"),
        (Region(-INF, -0.5, open=True), -0.4, 0.1, "fails"),
        (WITHIN, -0.9, 0.9, "holds"),
        (WITHIN, -1.0, 1.0, "holds"),
        (WITHIN, 0.9, 1.1, "undecided"),
        (WITHIN, -5.0, 5.0, "undecided"),
        (WITHIN, 1.1, 1.2, "fails"),
        (WITHIN, -1.2, -1.1, "fails"),
        (Region(0.35, 0.35), 0.35, 0.35, "holds"),
        (Region(0.35, 0.35), 0.36, 0.36, "fails"),
    ],
)
def test_word_of_an_interval(region, low, high, word):
    assert region.word(Interval((low + high) / 2, low, high, 0.95, 1.0, 5)) == word


def test_undefined_numbers_decide_nothing():
    values = [0.5, math.nan, 0.5]
    assert ABOVE.word(t_interval(values)) == "undecided"
    assert two_sided_p(values, ABOVE) == 1.0
    assert second_opinion(values, ABOVE, 0.95).word == "undecided"


def test_p_is_the_two_sided_t_test_against_one_border():
    x = np.random.default_rng(1).normal(0.4, 1.0, 9)
    assert two_sided_p(x, ABOVE) == pytest.approx(stats.ttest_1samp(x, 0.0).pvalue, rel=1e-9)


def test_p_of_equivalence_is_twice_the_worse_one_sided_test():
    x = np.random.default_rng(2).normal(0.3, 0.8, 12)
    lower = stats.ttest_1samp(x, -1.0, alternative="greater").pvalue
    upper = stats.ttest_1samp(x, 1.0, alternative="less").pvalue
    assert two_sided_p(x, WITHIN) == pytest.approx(2 * max(lower, upper), rel=1e-9)


@pytest.mark.parametrize("region", [ABOVE, WITHIN, Region(-INF, -0.2, open=True)])
def test_a_word_falls_exactly_when_p_is_below_alpha(region):
    generator = np.random.default_rng(3)
    words = set()
    for _ in range(300):
        x = generator.normal(generator.normal(0, 1), 0.7, 6)
        p, word = two_sided_p(x, region), region.word(t_interval(x, 0.95))
        assert (p <= 0.05) == (word != "undecided")
        words.add(word)
    assert words == {"holds", "fails", "undecided"}


def test_holm_walks_until_the_first_open_question():
    # 0.010 <= 0.05 / 3 goes on; 0.030 > 0.05 / 2 stops, and 0.040 is judged there too, though
    # it would pass 0.05 / 1.
    levels = holm_levels([0.010, 0.040, 0.030])
    assert levels == pytest.approx([1 - 0.05 / 3, 1 - 0.025, 1 - 0.025])


def test_holm_of_one_prediction_corrects_nothing():
    assert holm_levels([0.9], alpha=0.05) == [0.95]


def test_holm_relaxes_as_predictions_are_decided():
    assert holm_levels([0.0, 0.0, 0.04]) == pytest.approx([1 - 0.05 / 3, 1 - 0.025, 0.95])


def test_further_seeds_by_the_t_table():
    # Deviation 1, mean 0.5: t / sqrt(n) < 0.5 first at n = 18 (2.110 / 4.243 = 0.497; at 17
    # 2.120 / 4.123 = 0.514). Five values of that mean and deviation: 13 more.
    x = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    x = 0.5 + x / x.std(ddof=1)
    assert further_seeds(x, ABOVE, 0.95) == 13


def test_no_number_of_seeds_moves_a_mean_off_its_border():
    assert further_seeds([-1.0, 0.0, 1.0], ABOVE, 0.95) is None


def test_sign_flips_by_brute_force():
    x = np.random.default_rng(4).normal(0.5, 1.0, 7)
    means = [np.mean(x * np.array(s)) for s in itertools.product((1, -1), repeat=7)]
    above = np.mean([mean >= x.mean() - 1e-12 for mean in means])
    assert second_opinion(x, ABOVE, 0.95).p == pytest.approx(2 * min(above, 1 - above + 1 / 128))


def test_five_seeds_cannot_reach_five_per_cent_by_sign_flips():
    opinion = second_opinion([1.0, 1.1, 0.9, 1.2, 0.8], ABOVE, 0.95)
    assert (opinion.word, opinion.p, opinion.smallest_p) == ("undecided", 0.0625, 0.0625)


def test_sign_flips_agree_on_clear_cases():
    x = 0.5 + 0.1 * np.random.default_rng(5).normal(size=8)
    assert second_opinion(x, ABOVE, 0.95).word == "holds"
    assert second_opinion(x, WITHIN, 0.95).word == "holds"
    assert second_opinion(x, Region(-INF, 0.0, open=True), 0.95).word == "fails"
    assert second_opinion(x, Region(-0.1, 0.1), 0.95).word == "fails"


def test_many_seeds_are_flipped_at_random_yet_repeatably():
    x = np.random.default_rng(6).normal(0.2, 1.0, 20)
    first, again = second_opinion(x, ABOVE, 0.95), second_opinion(x, ABOVE, 0.95)
    assert first == again
    assert first.p == pytest.approx(two_sided_p(x, ABOVE), abs=0.05)


def test_looks_keep_the_chance_of_a_wrong_word():
    # True mean exactly on the border: any decision is wrong. 2,000 repetitions at 0.05 in all:
    # more than 131 wrong words would be 3.2 deviations above 100.
    draws = np.random.default_rng(7).normal(0.0, 1.0, (2_000, 20))
    level = 1 - ALPHA / 3
    wrong = sum(
        any(ABOVE.word(t_interval(x[:n], level)) != "undecided" for n in (5, 10, 20)) for x in draws
    )
    assert 50 <= wrong <= 131
