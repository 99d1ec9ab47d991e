"""A head and exact metrics in a Lightning module (pip install lightning).

python examples/lightning_module.py
"""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lossheads as lh


class Classifier(L.LightningModule):
    """Any network; what follows the last features is the head's business."""

    def __init__(self, head: lh.Head) -> None:
        super().__init__()
        self.head = head
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, head.num_logits))
        self.validation = lh.Accumulator(head)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        inputs, labels = batch
        return self.head(self.net(inputs), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        inputs, labels = batch
        self.validation.update(self.net(inputs), labels)

    def on_validation_epoch_end(self) -> None:
        # All rows at once: Lightning's own mean of batch values weighs the last batch too much.
        for name, metric in self.validation.compute().items():
            self.log(f"val/{name}", metric.value)
        self.validation.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def main() -> None:
    L.seed_everything(0, verbose=False)
    pixels, classes = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(classes))
    train, val = torch.utils.data.random_split(data, [1400, len(data) - 1400])
    module = Classifier(lh.SoftmaxCCE(lh.OneOf(10)))
    trainer = L.Trainer(
        max_epochs=5,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(train, 128, shuffle=True), DataLoader(val, 128))
    print({name: round(float(value), 4) for name, value in trainer.callback_metrics.items()})


if __name__ == "__main__":
    main()
