"""Backbones of convolutions: their arithmetic, what couples rows, what they refuse."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lossheads.engine.member import Member, Net, initial_net
from lossheads.errors import UserError
from lossheads.heads import SoftmaxCCE
from lossheads.models import resnet9
from lossheads.outcomes import OneOf
from lossheads.runs.build import build_parts
from lossheads.runs.config import compose

SHIPPED = [8, 16, 32, 64]
SHAPES = [(1, 28, 28), (3, 32, 32)]


def net_of(shape: tuple[int, ...], seed: int = 0, classes: int = 10) -> Net:
    """As the command line builds it with model=resnet9."""
    backbone = build_parts(compose(["model=resnet9"])).backbone
    return initial_net(backbone, shape, Member(SoftmaxCCE(OneOf(classes)), seed, seed, {}))


def multiply_adds(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Of one image: every number that a convolution or linear layer makes, times its inputs."""
    counted = []

    def count(layer: nn.Module, _: Any, out: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            width = layer.in_channels // layer.groups
            counted.append(out.numel() * width * layer.kernel_size[0] * layer.kernel_size[1])
        elif isinstance(layer, nn.Linear):
            counted.append(out.numel() * layer.in_features)

    for layer in net.modules():
        layer.register_forward_hook(count)
    net(torch.zeros(1, *shape))
    assert len(counted) == 9  # else a layer was not seen
    return sum(counted)


@pytest.mark.parametrize(("shape", "said"), list(zip(SHAPES, (0.97e6, 1.70e6), strict=True)))
def test_an_image_takes_at_most_two_million_multiply_adds(shape, said):
    found = multiply_adds(net_of(shape), shape)
    assert found <= 2_000_000
    assert found == pytest.approx(said, abs=0.005e6)


def test_the_number_of_weights_is_the_documented_one():
    weights = sum(p.numel() for p in net_of((3, 32, 32)).backbone.parameters())
    assert round(weights, -3) == 103_000


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_does_not_depend_on_its_batch(shape):
    """What batch normalisation would break, in training mode too."""
    net = net_of(shape).train()
    rows = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([net(row.unsqueeze(0)) for row in rows])
    # Other sizes of a batch take other kernels: last bits may differ.
    torch.testing.assert_close(net(rows), alone, rtol=1e-4, atol=1e-5)


def test_equal_seeds_start_equal_and_steps_repeat():
    shape = (1, 28, 28)
    rows = torch.rand(32, *shape, generator=torch.Generator().manual_seed(1))

    def stepped(seed: int) -> dict[str, Tensor]:
        net = net_of(shape, seed)
        net(rows).square().mean().backward()
        return {name: p.grad for name, p in net.named_parameters()}

    one, again, other = stepped(0), stepped(0), stepped(1)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one if "0.weight" in name)


def test_channels_last_changes_no_function():
    net = net_of((3, 32, 32))
    rows = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = net(rows)
    net.to(memory_format=torch.channels_last)
    found = net(rows.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "shape", "named"),
    [
        ({"channels": [8, 16, 32]}, (1, 28, 28), r"list of 4 widths.*\[8, 16, 32\]"),
        ({"channels": [8, 16, 32, 0]}, (1, 28, 28), r"\[8, 16, 32, 0\]"),
        ({"channels": 8}, (1, 28, 28), "got 8"),
        ({"groups": 3}, (1, 28, 28), "groups must divide.*got 3"),
        ({"groups": True}, (1, 28, 28), "got True"),
        ({}, (784,), r"got \(784,\).*model=mlp"),
        ({}, (1, 8, 8), r"at least 16, got \(1, 8, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(options, shape, named):
    build = partial(resnet9, **{"channels": SHIPPED, "groups": 4, **options})
    with pytest.raises(UserError, match=rf"resnet9.*{named}"):
        build(shape)


@pytest.mark.slow
def test_it_learns_to_tell_orientations_apart(tmp_path):
    """Stripes across or along: 60 steps on drawn images, no file needed."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (512,), generator=draw)
    stripes = (torch.arange(28) // 2 % 2).float().expand(512, 1, 28, 28)
    images = torch.where(labels.view(-1, 1, 1, 1) == 1, stripes.transpose(2, 3), stripes)
    images = images + torch.randn(images.shape, generator=draw)
    net = net_of((1, 28, 28), classes=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for step in range(60):
        rows = torch.arange(64) + 64 * step % 384
        loss = nn.functional.cross_entropy(net(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (net(images[-64:]).argmax(dim=1) == labels[-64:]).float().mean()
    assert right > 0.9  # guessing: 0.5, deviation 0.06
