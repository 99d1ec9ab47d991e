"""compute_metrics and the check in transformers' own Trainer; tiny models from a configuration."""

from typing import Any

import numpy as np
import pytest
import torch

import lossheads as lh

from .making import Checked, needs_check

transformers = pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("accelerate", reason="the Trainer needs accelerate")

from lossheads.integrations.transformers import ComputeMetrics, for_trainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

N, CLASSES = 24, 3


@pytest.fixture(autouse=True)
def _only_the_library_is_called_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder tests/datasets is on the path here, and passes for Hugging Face's library."""
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Tokens whose first says the class, or the labels."""

    def __init__(self, several: bool) -> None:
        rng = np.random.RandomState(0)
        self.tokens = torch.as_tensor(rng.randint(3, 20, size=(N, 6)))
        self.labels: torch.Tensor = torch.as_tensor(rng.randint(CLASSES, size=N))
        self.tokens[:, 0] = self.labels
        if several:
            self.labels = torch.as_tensor(rng.uniform(size=(N, CLASSES)) < 0.4).float()

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[i], "labels": self.labels[i]}


def trained(folder: Any, several: bool, **more: Any) -> tuple[Any, Any]:
    transformers.set_seed(0)
    kind = "multi_label_classification" if several else "single_label_classification"
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=8, num_labels=CLASSES, problem_type=kind,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    arguments = transformers.TrainingArguments(
        str(folder), num_train_epochs=2, per_device_train_batch_size=8, eval_strategy="epoch",
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, logging_steps=1000,
        learning_rate=1e-3,
    )  # fmt: skip
    data = Rows(several)
    trainer = transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data, **more)
    trainer.train()
    return trainer, data


@pytest.mark.parametrize(("several", "head"), [(False, "softmax_cce"), (True, "sigmoid_bce")])
def test_it_prints_and_returns_metrics_with_baselines(
    several: bool, head: str, checked: Checked, tmp_path: Any
) -> None:
    lines: list[str] = []
    line = for_trainer(head, write=lines.append)
    trainer, data = trained(tmp_path, several, **line)
    assert len(line["compute_metrics"].history) == 2
    said = trainer.evaluate()
    logits = trainer.predict(data).predictions
    labels = data.labels.long() if several else data.labels
    expected = lh.evaluate(logits, labels, head=head)
    name = "exact_match_score" if several else "accuracy_score"
    assert said[f"eval_{name}"] == pytest.approx(expected[name].value)
    assert said[f"eval_{name}_baseline"] == pytest.approx(expected[name].baseline)
    assert all(value == value for value in said.values())
    assert any("baseline" in text for text in lines)
    (called,) = checked
    assert called[0] is trainer.model
    assert len(called[2]) == N
    assert set(called[1]) == {"input_ids"}


def test_training_is_the_same_with_and_without(checked: Checked, tmp_path: Any) -> None:
    weights = [
        trained(tmp_path, False, **more)[0].model.classifier.weight
        for more in ({}, for_trainer("softmax_cce", write=str))
    ]
    assert torch.equal(*weights)


def test_hidden_states_behind_the_logits_are_left_alone() -> None:
    logits = np.random.RandomState(0).normal(size=(9, 3))
    labels = np.arange(9) % 3
    given = transformers.EvalPrediction((logits, np.zeros((9, 2))), labels)
    found = ComputeMetrics("softmax_cce", ["accuracy_score"], write=str)(given)
    assert set(found) == {f"accuracy_score{end}" for end in ("", "_baseline", "_skill")}
    assert found["accuracy_score"] == (logits.argmax(1) == labels).mean()


@needs_check
@pytest.mark.parametrize("several", [True, False])
def test_a_right_model_is_checked_and_nothing_is_found(several: bool, tmp_path: Any) -> None:
    lines: list[str] = []
    line = for_trainer("sigmoid_bce" if several else "softmax_cce", write=lines.append)
    trained(tmp_path, several, **line)
    assert line["callbacks"][0].report.findings == ()
    assert lines[0].startswith("lossheads check")
