"""Only what a role is made of is called; a stranger's YAML executes nothing."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lossheads.datasets import Digits
from lossheads.errors import UserError
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.metrics.base import constant_baseline, metric
from lossheads.metrics.stats import PredictionStats
from lossheads.models import mlp
from lossheads.outcomes import OneOf
from lossheads.runs.build import build, build_parts
from lossheads.runs.config import compose
from lossheads.runs.dataset_cache import DatasetCache
from lossheads.runs.validate import check_head, check_memory


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "lossheads.heads",
        "lossheads.heads.base.Protocol",
        "lossheads.heads.functional.torch.load",
        "lossheads.heads.base.HeadMismatch",
        "lossheads.records.write_json",
        "torch.hub.load",
        "",
    ],
)
def test_targets_outside_the_role_are_refused(target: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    with pytest.raises(UserError, match="_target_"):
        build("head", {"_target_": target, "command": f"touch {victim}"}, trust=[])
    assert not victim.exists()


@pytest.mark.parametrize(
    "target", ["torch.optim.swa_utils.deepcopy", "torch.optim.adam.torch.load"]
)
def test_what_a_module_merely_imports_is_refused(target: str) -> None:
    with pytest.raises(UserError, match=r"must be defined in torch\.optim|cannot be imported"):
        build("optimizer", {"_target_": target, "_partial_": True}, trust=[])


def test_importing_an_untrusted_package_does_not_happen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="--trust hostile"):
        build("head", {"_target_": "hostile.Head", "_partial_": True}, trust=[])


def test_nested_targets_are_refused() -> None:
    node: dict[str, Any] = {
        "_target_": "lossheads.heads.SigmoidBCE",
        "_partial_": True,
        "class_reduction": [{"_target_": "os.system"}],
    }
    with pytest.raises(UserError, match="nested _target_"):
        build("head", node, trust=[])


def test_unknown_option_is_refused_with_near_matches() -> None:
    node = {"_target_": "lossheads.heads.SigmoidBCE", "_partial_": True, "class_reductio": "sum"}
    with pytest.raises(UserError, match="did you mean class_reduction"):
        build("head", node, trust=[])


def test_options_arrive() -> None:
    node = {"_target_": "lossheads.heads.SigmoidBCE", "_partial_": True, "class_reduction": "mean"}
    assert build("head", node, trust=[])(outcome=OneOf(3)) == SigmoidBCE(
        OneOf(3), class_reduction="mean"
    )


def test_trusted_package_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_heads.py").write_text("class Mine:\n    def __init__(self, outcome): ...\n")
    monkeypatch.chdir(tmp_path)
    made = build("head", {"_target_": "my_heads.Mine", "_partial_": True}, trust=["my_heads"])
    assert type(made(outcome=OneOf(2))).__name__ == "Mine"


def test_a_configuration_file_cannot_grant_itself_trust(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    claims_trust = "# @package _global_\ntrust: [subprocess]\n"
    (tmp_path / "experiment" / "evil.yaml").write_text(claims_trust, encoding="utf-8")
    words = ["dataset=digits", "experiment=evil"]
    with pytest.raises(UserError, match="only the command line can grant"):
        compose(words, [tmp_path])
    with pytest.raises(UserError, match="only the command line can grant"):
        compose(words, [tmp_path], trust=["my_heads"])
    for granted in (
        compose(words, [tmp_path], trust=["subprocess"]),
        compose(["dataset=digits", "trust=[subprocess]"]),
    ):
        assert granted["trust"] == ["subprocess"]
        assert build_parts(granted).head.num_logits == 10


@dataclass(frozen=True)
class Broken(SoftmaxCCE):
    epsilon: float = 0.0

    def encode(self, labels: Tensor) -> Tensor:
        return super().encode(labels) * self.epsilon


@dataclass(frozen=True)
class Reduced(SoftmaxCCE):
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return super().loss(logits, target).mean()


@dataclass(frozen=True)
class FlatOdds(SoftmaxCCE):
    def log_odds(self, logits: Tensor) -> Tensor:
        return super().log_odds(logits)[:, 0]


class NoOdds(SoftmaxCCE):
    log_odds = 3  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (Broken(OneOf(3), epsilon="abc"), "cannot compute a loss"),  # type: ignore[arg-type]
        (Reduced(OneOf(3)), "one loss per row"),
        (FlatOdds(OneOf(3)), r"must return log_odds of shape \(2, 3\)"),
        (NoOdds(OneOf(3)), "head mine .*not callable"),
    ],
)
def test_a_head_that_breaks_is_refused_when_built(head: Head, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_head(head, "mine")


class _NoSource:
    def __init__(self) -> None:
        self.outcome = OneOf(2)


@metric(baseline=constant_baseline(0.0), higher_is_better=True, perfect=1.0)
def own_broken_score(stats: PredictionStats) -> Tensor:
    """Reads what no predictions have."""
    return stats.recall  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["dataset._target_=%s._NoSource", "~dataset.classes"], "_NoSource must have.* load"),
        (["extra_metrics=[%s.own_broken_score]"], "metric own_broken_score .*recall"),
    ],
)
def test_parts_of_ones_own_that_break_are_named_before_training(
    words: list[str], named: str
) -> None:
    words = [word % __name__ if "%s" in word else word for word in words]
    config = compose(["dataset=digits", *words], trust=[__name__])
    with pytest.raises(UserError, match=named):
        build_parts(config)


def test_a_forgotten_partial_is_told() -> None:
    node = {"_target_": "lossheads.models.mlp", "hidden": [3]}
    with pytest.raises(UserError, match="_partial_: true"):
        build("model", node, trust=[])


def test_the_size_of_a_model_is_told_without_building_it() -> None:
    """Before anything is allocated, and without a draw: the weights of a seed stay the same."""
    cpu, before = torch.device("cpu"), torch.get_rng_state()
    check_memory(partial(mlp, hidden=[64]), (1, 8, 8), cpu)
    with pytest.raises(UserError, match=r"needs 8,000,5\d\d\.\d GB"):
        check_memory(partial(mlp, hidden=[10**9, 10**6]), (1, 8, 8), cpu)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_whose_size_cannot_be_told_is_built_for_good() -> None:
    def reads_numbers(shape: tuple[int, ...]) -> Any:
        return torch.nn.Linear(int(torch.ones(3).sum()), 1)

    check_memory(reads_numbers, (3,), torch.device("cpu"))


class _Changing:
    """Says two classes, loads ten."""

    outcome = OneOf(2)

    def load(self, data_dir: Path | None, cache: Path) -> Any:
        return Digits(classes=10).load(data_dir, cache)


def test_a_source_that_loads_another_outcome_is_refused(tmp_path: Path) -> None:
    config = {"dataset": {}, "data_dir": None, "output_dir": str(tmp_path)}
    run: Any = SimpleNamespace(config=config, parts=SimpleNamespace(source=_Changing()))
    with pytest.raises(UserError, match=r"digits .*OneOf\(n=10\).*OneOf\(n=2\)"):
        DatasetCache(1).get(run, torch.device("cpu"))


def test_inputs_of_another_type_are_refused(tmp_path: Path) -> None:
    digits = Digits(classes=2).load(None, tmp_path)
    with pytest.raises(UserError, match="float64 inputs in its val split"):
        replace(digits, val=replace(digits.val, inputs=digits.val.inputs.double()))
