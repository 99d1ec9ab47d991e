"""docs/open-question.md: which sum_j log(1 + sum_i t_ij g_j(s_i)) are stationary at p = t."""

from collections.abc import Callable
from itertools import combinations

import pytest
import sympy
import torch
from torch import Tensor

from lossheads.heads.functional import centred_cross_entropy, pairwise_cross_entropy

Weights = Callable[[Tensor], Tensor]  # logits (n, m) -> g (n, m)
PARTITIONS = [((0, 1, 2, 3),), ((0, 1), (2, 3)), ((0, 2), (1,), (3,)), ((0,), (1,), (2,), (3,))]


def log_sum(g: Weights, logits: Tensor, labels: Tensor, omega: Tensor | None = None) -> Tensor:
    logs = (labels * g(logits)).sum(dim=0).log1p()
    return (logs if omega is None else omega * logs).sum()


def blocks(partition, factors=None, omega=None) -> Weights:
    """g_j = C_B exp(mean of the block - s_j); `omega` weighs the mean."""

    def g(logits: Tensor) -> Tensor:
        weights = torch.ones(logits.shape[1]).double() if omega is None else omega
        columns = torch.empty_like(logits)
        for number, block in enumerate(map(list, partition)):
            mean = (logits[:, block] * weights[block]).sum(1, keepdim=True) / weights[block].sum()
            factor = 1.0 if factors is None else factors[number]
            columns[:, block] = factor * (mean - logits[:, block]).exp()
        return columns

    return g


def slope(g: Weights, logits: Tensor, labels: Tensor, omega: Tensor | None = None) -> float:
    logits = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_sum(g, logits, labels, omega), logits)
    return gradient.abs().max().item()


def draws(m: int = 4):
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        yield 2 * torch.randn(1 + seed % 5, m, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("partition", PARTITIONS, ids=str)
def test_a_centred_loss_in_each_block_is_stationary_at_the_label(partition):
    for logits in draws():
        factors = torch.linspace(0.3, 4.0, len(partition)).tolist()
        assert slope(blocks(partition, factors), logits, logits.softmax(1)) < 1e-12


def test_weights_before_the_logarithms_weigh_the_mean():
    omega = torch.tensor([0.2, 1.0, 3.0, 0.5]).double()
    for logits in draws():
        labels = logits.softmax(1)
        assert slope(blocks(PARTITIONS[1], omega=omega), logits, labels, omega) < 1e-12
        assert slope(blocks(PARTITIONS[1]), logits, labels, omega) > 1e-3


@pytest.mark.parametrize(
    "g",
    [
        lambda s: (1 / s.softmax(1)) - 1,  # the log-sum loss
        lambda s: 1 / s.softmax(1),
        lambda s: (s[:, :1] - s).exp(),  # the first logit instead of the mean
        lambda s: (s.mean(1, keepdim=True) - s).exp() * torch.tensor([1.0, 1.0, 1.0, 2.0]),
        lambda s: (s.mean(1, keepdim=True) - s).exp() ** 0.9,
    ],
)
def test_others_are_not(g):
    assert max(slope(g, logits, logits.softmax(1)) for logits in draws()) > 1e-2


def test_several_blocks_say_nothing_of_the_shares_between_them():
    shift = torch.tensor([3.0, 3.0, 0.0, 0.0]).double()
    for logits in draws():
        labels = logits.softmax(1)
        for partition, alike in ((PARTITIONS[1], True), (PARTITIONS[0], False)):
            values = [log_sum(blocks(partition), s, labels) for s in (logits, logits + shift)]
            assert bool(torch.isclose(*values)) == alike


def test_another_parametrisation_is_the_centred_loss_of_its_own_logits():
    def f(s: Tensor) -> Tensor:
        return s**3 + s

    def g(s: Tensor) -> Tensor:
        return 2.5 * (f(s).mean(1, keepdim=True) - f(s)).exp()

    for logits in draws():
        assert slope(g, logits / 2, f(logits / 2).softmax(1)) < 1e-10
    assert max(slope(g, logits / 2, (logits / 2).softmax(1)) for logits in draws()) > 1e-2


@pytest.mark.parametrize("m", [3, 4, 7])
def test_from_three_classes_on_a_small_centred_loss_may_be_a_wrong_decision(m):
    logits = torch.tensor([[[10.0, 11.0, -21.0, *[0.0] * (m - 3)]]]).double()
    label = torch.eye(m).double()[:1].unsqueeze(0)
    assert centred_cross_entropy(logits, label).item() == pytest.approx(4.53989e-5, rel=1e-5)
    assert logits.argmax().item() == 1


def test_two_classes_have_all_three_wishes():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4000, 3, 2, generator=generator, dtype=torch.float64)
    labels = torch.eye(2).double()[torch.randint(2, (4000, 3), generator=generator)]
    cost = centred_cross_entropy(logits, labels)
    torch.testing.assert_close(cost, pairwise_cross_entropy(logits, labels))
    right = (logits.argmax(-1) == labels.argmax(-1)).all(-1)
    small = cost < torch.log(torch.tensor(2.0))
    assert small.any()
    assert right[small].all()


@pytest.mark.parametrize("partition", [((0, 1, 2),), ((0, 1), (2,)), ((0,), (1,), (2,))], ids=str)
def test_stationarity_with_any_other_sets_parts_into_the_sums_over_blocks(partition):
    """Second step of the proof: the polynomial in v vanishes only if every block's sum does."""
    a = sympy.symbols("a0:3")
    u, v = sympy.symbols("u0:3", positive=True), sympy.symbols("v0:3")
    place = {j: number for number, block in enumerate(partition) for j in block}
    denominators = [1 + u[place[j]] + v[place[j]] for j in range(3)]
    # Classes of a block share their denominator; what is common to all of it divides out.
    total = sympy.together(sum(a[j] / denominators[j] for j in range(3)))
    polynomial = sympy.Poly(sympy.numer(total), *v[: len(partition)])
    vanishing = sympy.solve(polynomial.coeffs(), a, dict=True)
    (solved,) = vanishing
    for block in partition:
        assert sympy.simplify(sum(a[j] for j in block).subs(solved)) == 0
    free = set().union(*(sympy.sympify(solved.get(x, x)).free_symbols for x in a)) & set(a)
    assert len(free) == 3 - len(partition)


def test_proportional_functions_that_differ_have_different_poles():
    u, factor = sympy.symbols("u factor", positive=True)
    v = sympy.Symbol("v")
    (first,), (second,) = (sympy.solve(d, v) for d in (1 + u + v, 1 + factor * u + factor * v))
    assert sympy.solve(first - second, factor) == [1]


def test_the_blocks_are_what_the_last_step_integrates_to():
    """a_jk = p_j dg_j/ds_k of block-centred weights: each block's sum is 0, symbolically."""
    s = sympy.symbols("s0:4")
    for size in (1, 2, 3, 4):
        for block in combinations(range(4), size):
            mean = sum(s[j] for j in block) / size
            p = [sympy.exp(x) / sum(map(sympy.exp, s)) for x in s]
            for k in range(4):
                sums = sum(p[j] * sympy.diff(sympy.exp(mean - s[j]), s[k]) for j in block)
                assert sympy.simplify(sums) == 0
