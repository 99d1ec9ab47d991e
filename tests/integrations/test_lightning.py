"""The callback in Lightning's own Trainer."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lossheads as lh
from lossheads.errors import UserError

from .making import Checked, blobs, needs_check

lightning = pytest.importorskip("lightning", reason="needs Lightning 2")

from lossheads.integrations.lightning import EvaluationCallback  # noqa: E402

# Lightning advises on workers, loggers and its own dependencies.
pytestmark = pytest.mark.filterwarnings("ignore")


def loader(n: int, seed: int, shuffle: bool = False) -> Any:
    x, y = map(torch.as_tensor, blobs(n, seed=seed))
    return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=shuffle)


class Net(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        return self.layer(x)

    def training_step(self, batch: Any, _: int) -> Any:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Any, *callbacks: Any, epochs: int = 2) -> tuple[Any, Any]:
    torch.manual_seed(1)
    net = Net()
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=list(callbacks), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", devices=1,
        default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(net, loader(96, 0, shuffle=True), loader(41, 1))
    return net, trainer


def test_it_prints_the_metrics_of_all_rows(checked: Checked, tmp_path: Any) -> None:
    lines: list[str] = []
    callback = EvaluationCallback("softmax_cce", write=lines.append)
    net, trainer = fit(tmp_path, callback)
    assert len(callback.history) == 2  # the sanity check is not one
    x, y = map(torch.as_tensor, blobs(41, seed=1))
    expected = lh.evaluate(net(x), y, head="softmax_cce")
    found = callback.history[-1]
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {name: each.value for name, each in expected.items()}, nan_ok=True
    )
    assert "epoch 2, n = 41" in lines[-1]
    logged = trainer.callback_metrics["lossheads/nll_loss"]
    assert logged.item() == pytest.approx(expected["nll_loss"].value, abs=1e-6)
    (called,) = checked
    assert called[0] is net
    assert len(called[1][0]) == 32
    assert called[2] is None  # a Lightning module holds its loss


def test_training_is_the_same_with_and_without(checked: Checked, tmp_path: Any) -> None:
    alone, _ = fit(tmp_path)
    watched, _ = fit(tmp_path, EvaluationCallback("softmax_cce", write=str))
    assert torch.equal(alone.layer.weight, watched.layer.weight)


def test_the_numbers_serve_early_stopping(checked: Checked, tmp_path: Any) -> None:
    monitored = lightning.pytorch.callbacks.EarlyStopping(
        "lossheads/accuracy_score_skill", mode="max", patience=1, min_delta=2.0
    )
    callback = EvaluationCallback("softmax_cce", write=str)
    _, trainer = fit(tmp_path, callback, monitored, epochs=9)
    assert trainer.current_epoch < 9


def test_batches_of_another_form_need_a_function(checked: Checked, tmp_path: Any) -> None:
    class Named(Net):
        pass

    callback = EvaluationCallback(
        lh.SoftmaxCCE(lh.OneOf(3)), "probabilities", write=str, check=False,
        predict=lambda module, batch: (module(batch[0]).softmax(1), batch[1]),
    )  # fmt: skip
    fit(tmp_path, callback)
    assert callback.history[-1]["accuracy_score"].value > 0.5
    assert not checked
    with pytest.raises(UserError, match="predict="):
        EvaluationCallback("softmax_cce")._predict(Named(), {"x": 1})


@needs_check
@pytest.mark.parametrize("twice", [True, False])
def test_a_wrong_combination_is_found_before_the_first_step(twice: bool, tmp_path: Any) -> None:
    class Softmax(Net):
        def forward(self, x: Any) -> Any:
            return self.layer(x).softmax(1) if twice else self.layer(x)

    torch.manual_seed(1)
    given = "probabilities" if twice else "logits"
    lines: list[str] = []
    callback = EvaluationCallback(lh.SoftmaxCCE(lh.OneOf(3)), given, write=lines.append)
    trainer = lightning.Trainer(
        max_epochs=1, callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", devices=1,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Softmax(), loader(96, 0), loader(41, 1))
    assert bool(callback.report.findings) == twice
    assert lines[0].startswith("lossheads check")
