"""What a sweep says of two heads: about new examples where their draw is known, or else not."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.making import ARGMAX
from analysis.pages import Page, words
from analysis.test_summary import ran
from analysis.test_summary import text as printed
from lossheads.analysis.estimates import estimate, examples_of
from lossheads.analysis.runs_page import runs_page
from lossheads.analysis.shared_examples import sample_of_pairs
from lossheads.analysis.slim import slim
from lossheads.analysis.statistics import t_interval
from lossheads.analysis.summary import comparisons
from lossheads.analysis.sweep import Asked
from lossheads.records import CorrectMask

N = 300


def recorded(head, seed, right, digest="d", **more):
    """A run that recorded which of its test examples it decided right."""
    bits = base64.b64encode(np.packbits(np.asarray(right, bool)).tobytes()).decode()
    made = ran(head, seed, float(np.mean(right)), **more)
    (kept,) = made.history
    test = replace(kept.test, n=len(right), correct=CorrectMask(bits, digest))
    return replace(made, history=[replace(kept, test=test)])


def two_heads(gained=6, lost=2, seeds=3):
    """Head b decides a few more examples right than a at every seed, nearly the same ones."""
    runs = []
    for seed in range(seeds):
        a = np.ones(N, bool)
        a[:30] = False
        a[40 + seed] = False
        b = a.copy()
        b[: gained + seed % 2] = True
        b[60 : 60 + lost] = False
        runs += [recorded("a", seed, a), recorded("b", seed, b)]
    return runs


def masked(made, bits, n):
    (kept,) = made.history
    correct = replace(kept.test.correct, bits=base64.b64encode(bits).decode())
    share = {ARGMAX: 8 * len(bits) / n}
    test = replace(kept.test, n=n, correct=correct, metrics=share)
    return replace(made, history=[replace(kept, test=test)])


def test_bits_of_fewer_examples_than_the_run_says_are_not_used():
    runs = [masked(run, b"\xff", 16) for run in two_heads()]
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    assert sample_of_pairs(pairs, ARGMAX).examples == ()


def test_seeds_of_one_digest_and_other_counts_are_not_crossed():
    pairs = [
        (recorded("a", seed, [True] * n), recorded("b", seed, [True] * n))
        for seed, n in enumerate((10, 12))
    ]
    assert sample_of_pairs(pairs, ARGMAX).examples == ()


def test_what_seeds_alone_decide_is_undecided_on_new_examples():
    runs = two_heads()
    (found,) = comparisons(runs)
    (difference,) = found.differences
    values = [found.candidates[at].by_seed for at in (0, 1)]
    alone = t_interval([values[1][seed] - values[0][seed] for seed in range(3)])
    assert alone.low > 0
    assert (difference.covers, difference.direction) == ("training_and_examples", "undecided")
    assert difference.interval.low < 0 < difference.interval.high
    assert "undecided on new examples: b may be" in printed(runs)


def test_the_interval_is_that_of_crossed_seeds_and_examples():
    runs = two_heads()
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    rights = [
        [np.unpackbits(np.frombuffer(r.test.correct.packed, np.uint8))[:N] for r in pair]
        for pair in pairs
    ]
    rows = [(b - b.mean() - a + a.mean()) / N for a, b in np.array(rights, float)]
    wanted = replace(sample_of_pairs(pairs, ARGMAX), examples=(examples_of(rows, N),))
    numbers = [pair[1].test.metrics[ARGMAX] - pair[0].test.metrics[ARGMAX] for pair in pairs]
    ((difference,),) = (found.differences for found in comparisons(runs))
    expected = estimate(numbers, wanted).interval()
    assert difference.interval.low == pytest.approx(expected.low, abs=1e-12)
    assert difference.interval.high == pytest.approx(expected.high, abs=1e-12)


@pytest.mark.parametrize("kind", ["no mask", "other metric", "digests differ"])
def test_where_the_draw_is_not_known_the_sentence_names_these_examples(kind):
    runs = two_heads()
    changed = []
    for run in runs:
        (kept,) = run.history
        test = kept.test
        if kind == "no mask":
            test = replace(test, correct=None)
        elif kind == "other metric":
            test = replace(test, metrics={ARGMAX: test.metrics[ARGMAX] - 0.001})
        elif run.config["choices"]["head"] == "b" and run.config["seed"] == 1:
            test = replace(test, correct=replace(test.correct, examples_digest="e"))
        changed.append(replace(run, history=[replace(kept, test=test)]))
    sample = sample_of_pairs(list(zip(changed[::2], changed[1::2], strict=True)), ARGMAX)
    assert sample.covers == "training"
    if kind != "digests differ":  # which are not compared at all
        ((difference,),) = (found.differences for found in comparisons(changed))
        assert difference.direction == "higher"
        assert f"over seeds, on these {N} test examples" in difference.conclusion


def test_seeds_that_draw_their_own_data_cover_it():
    runs = [
        replace(run, history=[replace(kept, test=replace(kept.test, correct=own))])
        for run in two_heads()
        for kept in run.history
        for own in [replace(kept.test.correct, examples_digest=f"d{run.config['seed']}")]
    ]
    ((difference,),) = (found.differences for found in comparisons(runs))
    assert (difference.covers, difference.direction) == ("training_and_data", "higher")
    assert "over seeds with data of their own" in difference.conclusion


def test_the_page_has_one_level_and_one_word_for_a_pair():
    runs = list(slim(two_heads()))
    third = [recorded("c", seed, [at % 3 > 0 for at in range(N)]) for seed in range(3)]
    said = words(Page(runs_page([*runs, *third], Asked(reference="c"))).below["data-1"])
    levels = re.findall(r"([0-9.]+ %) interval|interval ([0-9.]+ %)", said)
    corrected = {one or two for one, two in levels} - {"95 %"}
    assert corrected == {"98.3 %"}  # b - a, c - b and a - c: 1 - 0.05 / 3
    plain = words(Page(runs_page(runs)).below["data-1"])
    assert "a cannot be told from it" in plain
    assert "b minus a: 0.0144, undecided" in plain
    assert "interval on new examples" in plain
    assert "worse" not in plain.split("All arms")[0]


def test_heads_that_are_right_on_the_same_examples_are_equal_in_both_pictures():
    runs = [
        recorded(head, seed, [True] * (250 + seed) + [False] * (50 - seed))
        for head in "ab"
        for seed in range(3)
    ]
    assert "equal in each of 3 seeds" in printed(runs)
    said = words(Page(runs_page(runs)).below["data-1"])
    assert "b equal to it at every seed" in said
    assert "b minus a: 0.0000, equal at every seed" in said
