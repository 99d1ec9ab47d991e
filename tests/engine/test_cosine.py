"""The output layer of cosines: its values, and that it trains alone and to the same bits again."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lossheads.engine.cohort import SingleMemberCohort, build_cohort
from lossheads.engine.member import Cosine, Member, initial_net
from lossheads.errors import UserError
from lossheads.heads import SoftmaxCCE
from lossheads.models import mlp
from lossheads.outcomes import OneOf
from lossheads.records import run_key
from lossheads.runs.config import compose
from lossheads.runs.execute import execute

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE, BACKBONE = (1, 6, 6), partial(mlp, hidden=[12])
ADAM = {"lr": 1e-2, "fused": True}
TINY = ["dataset=digits", "training.steps=20", "device=cpu", "recording.tensorboard=false"]
COSINE = "output_layer.cosine_temperature=0.05"


def member(seed: int = 0, temperature: float | None = 0.05) -> Member:
    return Member(SoftmaxCCE(OneOf(4)), seed, seed, ADAM, None, temperature)


def test_logits_are_cosines_over_the_temperature() -> None:
    net, inputs = initial_net(BACKBONE, SHAPE, member()), torch.rand(9, *SHAPE)
    features = net.backbone(inputs)
    expected = torch.stack(
        [F.cosine_similarity(features, row, dim=1) / 0.05 for row in net.output_layer.weight], 1
    )
    torch.testing.assert_close(net(inputs), expected)
    assert net(inputs).abs().max() <= 1 / 0.05 * (1 + 1e-6)


def test_lengths_of_features_and_weights_have_no_effect() -> None:
    layer, features = Cosine(5, 3, 0.1), torch.rand(4, 5)
    before = layer(features)
    torch.testing.assert_close(layer(7 * features), before)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[2.0], [3.0], [4.0]]))
    torch.testing.assert_close(layer(features), before)
    assert not layer(torch.zeros(1, 5)).any()


def test_a_net_of_one_seed_has_the_backbone_of_its_linear_twin() -> None:
    cosine, linear = (initial_net(BACKBONE, SHAPE, member(3, t)) for t in (0.05, None))
    for one, other in zip(cosine.backbone.parameters(), linear.backbone.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(cosine.output_layer.weight, linear.output_layer.weight)


def test_members_with_cosines_train_alone() -> None:
    labels = torch.randint(0, 4, (40,))
    adam = partial(torch.optim.Adam)
    cpu = torch.device("cpu")
    cohort = build_cohort(BACKBONE, SHAPE, [member()], labels, adam, cpu)
    assert isinstance(cohort, SingleMemberCohort)
    with pytest.raises(ValueError, match="one member at a time, got 2"):
        build_cohort(BACKBONE, SHAPE, [member(0), member(1, None)], labels, adam, cpu)


def test_a_sweep_over_both_layers_is_trained_and_repeats(tmp_path: Path) -> None:
    configs = [
        compose([*TINY, f"output_dir={tmp_path}", f"seed={seed}", *words])
        for seed in (0, 1)
        for words in ([], [COSINE])
    ]
    results = execute(configs)
    assert [result.status for result in results] == ["finished"] * 4
    losses = [result.kept.train_loss for result in results]
    assert len(set(losses)) == 4
    again = compose([*TINY, f"output_dir={tmp_path}/again", "seed=1", COSINE])
    assert execute([again])[0].kept.train_loss == losses[3]


def test_a_linear_layer_is_no_part_of_the_configuration() -> None:
    """Runs of earlier versions keep their keys, and so do heads at their neutral options."""
    assert compose(["output_layer.cosine_temperature=null"]) == compose([])
    assert "cosine_temperature" not in compose([])["output_layer"]
    assert set(compose([])["head"]) == {"_target_", "_partial_"}
    assert "alpha_as" not in compose(["head=focal"])["head"]
    words = [[], [COSINE], ["head.label_smoothing=0.1"]]
    assert len({run_key(compose(each)) for each in words}) == 3


def test_a_head_of_ones_own_keeps_all_its_keys(tmp_path: Path) -> None:
    """There 0 may be another function than the key left out."""
    (tmp_path / "head").mkdir()
    own = "_target_: my_heads.Mine\n_partial_: true\nlabel_smoothing: 0.0\nalpha_as: balance\n"
    (tmp_path / "head" / "mine.yaml").write_text(own, encoding="utf-8")
    head = compose(["head=mine"], [tmp_path], ["my_heads"])["head"]
    assert head["label_smoothing"] == 0
    assert head["alpha_as"] == "balance"


def test_a_bias_is_refused_where_there_is_none(tmp_path: Path) -> None:
    config = compose([*TINY, f"output_dir={tmp_path}", COSINE, "output_layer.prior_bias=true"])
    with pytest.raises(UserError, match=r"needs a bias, and cosines .* have none"):
        execute([config])
    assert not (tmp_path / "runs").exists()
