"""Two sources of chance: against textbook formulas, brute force and drawn data of known truth."""

import math

import numpy as np
import pytest
from scipy import stats

from lossheads.analysis.estimates import Examples, Sample, estimate, examples_of
from lossheads.analysis.statistics import Region, t_interval

INF = math.inf
ABOVE = Region(0.0, INF, open=True)
SHARE = {"low": 0.0, "high": 1.0}
GAP = {"low": -1.0, "high": 1.0}


def influences(z):
    """What each example of z (S, N) moves its seed's mean."""
    return (z - z.mean(axis=1, keepdims=True)) / z.shape[1]


def crossed(z, edge=INF, **ends):
    return estimate(z.mean(axis=1), Sample("once", (examples_of(influences(z), edge),), **ends))


def drawn(generator, seeds, n, a, b, e, mean=0.0):
    """Seeds × examples with effects of these standard deviations."""
    parts = (a * generator.normal(size=(seeds, 1)), b * generator.normal(size=(1, n)))
    return mean + parts[0] + parts[1] + e * generator.normal(size=(seeds, n))


def mean_squares(z):
    """Of the two-way table, by the sums of squares of any textbook, cell by cell."""
    seeds, n = z.shape
    grand, rows, columns = z.mean(), z.mean(axis=1), z.mean(axis=0)
    of_seeds = sum(n * (row - grand) ** 2 for row in rows) / (seeds - 1)
    of_examples = sum(seeds * (column - grand) ** 2 for column in columns) / (n - 1)
    left = sum(
        (z[s, i] - rows[s] - columns[i] + grand) ** 2 for s in range(seeds) for i in range(n)
    )
    return of_seeds, of_examples, left / ((seeds - 1) * (n - 1))


def test_the_variance_is_that_of_a_two_way_table():
    z = drawn(np.random.default_rng(1), 4, 30, 0.5, 2.0, 1.0)
    of_seeds, of_examples, left = mean_squares(z)
    assert of_seeds > left  # so that neither part is held at the shared one
    assert of_examples > left
    found = crossed(z)
    assert found.variance == pytest.approx((of_seeds + of_examples - left) / z.size)
    parts = [(of_seeds, 3), (of_examples, 29), (left, 87)]
    below = sum((part / z.size) ** 2 / freedom for part, freedom in parts)
    assert found.freedom == pytest.approx(found.variance**2 / below)


def test_the_variance_is_that_of_means_drawn_again_and_again():
    """On the average, for parts of every size; a mean drawn anew varies as much."""
    generator = np.random.default_rng(2)
    for a, b, e in ((0.3, 1.0, 2.0), (0.05, 2.0, 1.0), (0.5, 0.2, 1.0)):
        tables = [drawn(generator, 8, 40, a, b, e) for _ in range(2_000)]
        seen = np.var([z.mean() for z in tables])
        assert seen == pytest.approx(a**2 / 8 + b**2 / 40 + e**2 / 320, rel=0.1)
        assert np.mean([crossed(z).variance for z in tables]) == pytest.approx(seen, rel=0.15)


def test_no_part_is_smaller_than_the_shared_one():
    """Equal means by luck would else say that training varies nothing."""
    z = drawn(np.random.default_rng(3), 3, 50, 0.0, 0.0, 1.0)
    z -= z.mean(axis=1, keepdims=True)
    assert np.var(z.mean(axis=1)) < 1e-20
    _, of_examples, left = mean_squares(z)
    assert crossed(z).variance == pytest.approx((left + max(0, of_examples - left)) / z.size)


def test_to_cover_more_is_never_narrower():
    """A few examples' chance beside much of five seeds adds degrees of freedom, too."""
    generator = np.random.default_rng(12)
    for ends in ({}, GAP, SHARE):
        for _ in range(200):
            z = 0.6 + 0.1 * drawn(generator, 5, 40, 0.5, 1.0, 0.5)
            found = crossed(z, **ends)
            alone = estimate(z.mean(axis=1), found.sample.of_these_examples())
            for level in (0.9, 0.999):
                wide, narrow = found.interval(level), alone.interval(level)
                assert wide.low <= narrow.low <= narrow.high <= wide.high


def test_without_examples_it_is_students_interval():
    x = np.random.default_rng(4).normal(0.4, 1.0, 9)
    found = estimate(x)
    assert found.interval(0.9) == t_interval(x, 0.9)
    assert found.p(ABOVE) == pytest.approx(stats.ttest_1samp(x, 0.0).pvalue, rel=1e-9)


def test_test_sets_of_several_cases_add_up():
    one, two = (
        examples_of(influences(drawn(np.random.default_rng(k), 5, 40, 0, 1, 1))) for k in (5, 6)
    )
    x = np.random.default_rng(7).normal(size=5)
    own = [max(0, part.variance - part.shared) for part in (one, two)]
    both = estimate(x, Sample("once", (one, two)))
    assert both.variance == pytest.approx(x.var(ddof=1) / 5 + sum(own))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_levels_stay_in_their_range(level):
    high = estimate([1.0, 1.0, 0.97, 0.99], Sample(**SHARE)).interval(level)
    assert 0 < high.low < high.mean < high.high < 1 < t_interval([1, 1, 0.97, 0.99], 0.95).high
    loss = estimate([0.02, 0.4, 0.01, 0.05], Sample(low=0.0)).interval(level)
    assert 0 < loss.low < loss.mean < loss.high < INF
    gap = estimate([0.2, 1.0, 1.0, 0.9], Sample(**GAP)).interval(level)
    assert -1 <= gap.low < gap.mean < gap.high <= 1


@pytest.mark.parametrize("values", [[1.0, 1.0, 1 - 2**-53], [-0.5, 0.5, 0.0], [1e300, 0.0, 0.5]])
def test_a_mean_at_or_beyond_an_end_has_an_interval(values):
    """Rounding puts it there, or somebody's file."""
    found = estimate(values, Sample(**SHARE))
    assert found.interval().low >= 0 or found.mean < 0
    assert found.interval().high <= 1
    assert 0 <= found.p(Region(0.5, INF, open=True)) <= 1


@pytest.mark.parametrize("scale", [1e-90, 1e-80, 1e80, 1e140])
def test_degrees_of_freedom_do_not_depend_on_the_unit(scale):
    z = drawn(np.random.default_rng(9), 5, 40, 0.4, 1.0, 1.0)
    assert crossed(z * scale).freedom == pytest.approx(crossed(z).freedom, rel=1e-6)


@pytest.mark.parametrize("values", [[1e200, 3e200], [INF, 1.0, 2.0]])
def test_what_has_no_spread_in_floats_has_no_interval(values):
    found = estimate(values, Sample(low=0.0))
    assert (found.interval().low, found.interval().high) == (0.0, INF)
    assert Region(0.5, INF, open=True).conclude(found.interval()) == "undecided"


def test_far_from_the_ends_a_level_has_students_interval():
    x = 0.6 + 0.001 * np.random.default_rng(8).normal(size=6)
    inside, plain = estimate(x, Sample(**SHARE)).interval(), t_interval(x)
    assert inside.low == pytest.approx(plain.low, abs=2e-5)
    assert inside.high == pytest.approx(plain.high, abs=2e-5)


def test_a_share_of_one_seeds_worth_of_coin_flips_has_wilsons_interval():
    """All seeds alike and nothing but the examples varies: scipy knows the answer."""
    bits = np.tile([1.0] * 88 + [0.0] * 12, (3, 1))
    found = crossed(bits, edge=100, **SHARE).interval()
    known = stats.binomtest(88, 100).proportion_ci(method="wilson")
    assert found.low == pytest.approx(known.low, abs=0.003)  # t of 99 d.o.f. instead of z
    assert found.high == pytest.approx(known.high, abs=0.003)


def test_nobody_wrong_is_no_certainty_about_new_examples():
    """The rule of three: 100 of 100 right leave a few per cent for new ones."""
    right = np.ones((5, 100))
    level = crossed(right, edge=100, **SHARE).interval()
    assert level.low == pytest.approx(
        stats.binomtest(100, 100).proportion_ci(method="wilson").low, abs=0.003
    )
    assert level.high == 1
    gap = crossed(0 * right, edge=100, **GAP).interval()
    assert (-0.03, 0.03) < (gap.low, gap.high) < (-0.01, 0.03)
    sample = Sample("once", (examples_of(influences(right), 100),), **SHARE)
    here = estimate(right.mean(axis=1), sample.of_these_examples()).interval()
    assert (here.low, here.high) == (1, 1)


@pytest.mark.parametrize("ends", [{}, GAP, SHARE, {"low": 0.0}], ids=str)
def test_a_word_falls_exactly_when_p_is_below_alpha(ends):
    generator = np.random.default_rng(9)
    regions = [Region(0.4, INF, open=True), Region(0.3, 0.6), Region(-INF, 0.5, open=True)]
    words = set()
    for k in range(900):
        mean = generator.uniform(0.1, 0.9)
        z = drawn(generator, 4, 30, 0.1, 0.3, 0.3, mean).clip(0.01, 0.99)
        found, region = crossed(z, edge=30, **ends), regions[k % 3]
        for alpha in (0.05, 0.01):
            word = region.conclude(found.interval(1 - alpha))
            assert (found.p(region) <= alpha) == (word != "undecided")
            words.add(word)
    assert words == {"holds", "fails", "undecided"}


def test_a_border_outside_the_range_is_decided_by_logic():
    gap = estimate([0.1, 0.2, -0.3], Sample(**GAP))
    for region, word in ((Region(1.0, INF, open=True), "fails"), (Region(-2.0, 2.0), "holds")):
        assert region.conclude(gap.interval()) == word
        assert gap.p(region) == 0


def test_more_seeds_do_not_shrink_what_the_examples_vary():
    """Examples leave ± 0.04: no number of seeds finds a difference of 0.02, examples do."""
    generator = np.random.default_rng(10)
    z = drawn(generator, 20, 500, 0.01, 0.45, 0.1)
    z += 0.02 - z.mean()
    found = crossed(z, **GAP)
    assert found.further_seeds(ABOVE, 0.95) is None
    more = found.further_examples(ABOVE, 0.95)
    assert found.times(examples=(500 + more) / 500).p(ABOVE) < 0.05
    assert found.times(examples=(500 + more - 2) / 500).p(ABOVE) >= 0.05
    # By pencil: (1.96 × 0.45 / 0.02)² = 1,945 examples, and a little for the seeds.
    assert 1_300 < more < 1_900


def test_more_seeds_help_where_training_varies():
    z = drawn(np.random.default_rng(11), 5, 500, 0.1, 0.1, 0.1)
    z += 0.06 - z.mean()
    found = crossed(z, **GAP)
    more = found.further_seeds(ABOVE, 0.95)
    assert found.times(seeds=(5 + more) / 5).p(ABOVE) < 0.05
    assert found.times(seeds=(5 + more - 1) / 5).p(ABOVE) >= 0.05


def test_further_seeds_by_the_t_table():
    # Deviation 1, mean 0.5: t / sqrt(n) < 0.5 first at n = 18 (2.110 / 4.243 = 0.497; at 17
    # 2.120 / 4.123 = 0.514). Five values of that mean and deviation: 13 more.
    x = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    x = 0.5 + x / x.std(ddof=1)
    assert estimate(x).further_seeds(ABOVE, 0.95) == 13
    assert estimate(x).further_examples(ABOVE, 0.95) is None


def test_no_number_of_seeds_moves_a_mean_off_its_border():
    assert estimate([-1.0, 0.0, 1.0]).further_seeds(ABOVE, 0.95) is None


@pytest.mark.parametrize(("seeds", "n"), [(5, 300), (20, 300)])
def test_the_interval_covers_new_seeds_and_new_examples(seeds, n):
    """Bits of two models of one difficulty; seeds alone miss far too often."""
    generator = np.random.default_rng(seeds)
    hits = {"crossed": 0, "seeds": 0}
    repeats = 1_000
    for _ in range(repeats):
        hard = generator.normal(size=(1, n))
        own = [0.97 * hard + 0.24 * generator.normal(size=(1, n)) for _ in range(2)]
        one, two = (drawn(generator, seeds, n, 0.05, 0, 0.8, 3.4) + 3 * b > 0 for b in own)
        z = one.astype(float) - two
        found = crossed(z, edge=n, **GAP)
        for name, interval in (
            ("crossed", found.interval()),
            ("seeds", t_interval(z.mean(axis=1))),
        ):
            hits[name] += interval.low <= 0 <= interval.high
    # Binomial errors of 1,000: 0.7 per cent.
    assert hits["crossed"] / repeats > 0.935
    assert hits["seeds"] / repeats < 0.92


def test_examples_in_groups_and_of_one_seed():
    parts = examples_of([np.array([0.1, -0.1])], n=60)
    assert (parts.n, parts.units) == (60, 2)
    assert parts.variance == pytest.approx(0.04)
    assert math.isnan(parts.shared)
    found = Examples(100, 50, 0.5, 0.1).times(seeds=2, examples=3)
    assert found == Examples(300, 150, pytest.approx(0.45 / 3), pytest.approx(0.05 / 3))
