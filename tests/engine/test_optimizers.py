"""Torch's optimizers below the marks of its compiler: the same steps, without importing it."""

import subprocess
import sys

import pytest
import torch

from lossheads.engine.optimizers import build_optimizer, optimizer_step

MADE = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True}),
    (torch.optim.Adam, {"lr": 0.1, "amsgrad": True, "fused": True}),
    (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
    (torch.optim.RMSprop, {"lr": 0.1}),
]


@pytest.mark.parametrize(("kind", "settings"), MADE, ids=lambda made: getattr(made, "__name__", ""))
def test_steps_are_those_of_torch(kind, settings):
    start, gradients = torch.randn(3, 5), torch.randn(4, 3, 5)
    weights = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    ours, theirs = build_optimizer(kind, [weights[0]], **settings), kind([weights[1]], **settings)
    for gradient in gradients:
        for weight in weights:
            weight.grad = gradient.clone()
        optimizer_step(ours)
        theirs.step()
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], start)


def test_a_step_of_a_users_own_class_is_called():
    class Own(torch.optim.SGD):
        def step(self, closure=None):
            self.called = True

    optimizer = build_optimizer(Own, [torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    optimizer_step(optimizer)
    assert optimizer.called


def test_training_does_not_import_torchs_compiler(tmp_path):
    program = (
        "import sys\n"
        "import lossheads as lh\n"
        "lh.train(['dataset=digits', 'model=linear', 'training.steps=2', 'output_dir=here'])\n"
        "print([name for name in ('torch._dynamo', 'torch._inductor') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr
