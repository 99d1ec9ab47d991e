"""Only what a role is made of is called; a stranger's YAML executes nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lossheads.errors import UserError
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.outcomes import OneOf
from lossheads.runs.build import build, build_parts
from lossheads.runs.config import compose
from lossheads.runs.validate import check_head


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


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (Broken(OneOf(3), epsilon="abc"), "cannot compute a loss"),  # type: ignore[arg-type]
        (Reduced(OneOf(3)), "one loss per row"),
    ],
)
def test_a_head_that_breaks_is_refused_when_built(head: Head, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_head(head, "mine")
