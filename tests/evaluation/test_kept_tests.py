"""Kept predictions as arrays: by pencil for each kind of label, and what is left out and why."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lossheads.analysis.runs_page import runs_page
from lossheads.datasets import published
from lossheads.errors import UserError
from lossheads.evaluation import kept_tests
from lossheads.evaluation.explaining_image import explain_image
from lossheads.evaluation.kept_tests import kept_test
from lossheads.outcomes import base_rates
from lossheads.records import Result, write_result

from .kept_runs import blobs, data_of, digits, groups, kept_run, labels, part, softmax


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(float)))


def close(found: np.ndarray, wanted: object) -> None:
    np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-5, atol=1e-6)


def test_classes_are_columns(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "sigmoid_bce", blobs())
    found = kept_test(tmp_path, [run])
    (kept,) = found.runs.values()
    close(kept.scores, sigmoid(saved.logits))
    close(kept.sigmoids, sigmoid(saved.logits))
    close(kept.probabilities, softmax(saved.logits))
    assert (kept.decided.argmax(1) == saved.logits.argmax(1)).all()
    assert (kept.present.argmax(1) == saved.labels).all()
    assert (kept.decided.sum(1) == 1).all()
    assert found.per_group == 3
    assert found.rows.tolist() == list(range(40))
    assert found.notes == ()


def test_labels_stand_alone(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "multilabel_cce", labels())
    found = kept_test(tmp_path, [run])
    (kept,) = found.runs.values()
    assert found.per_group == 1
    assert (kept.present == saved.labels).all()
    assert (kept.decided == (saved.logits > 0)).all()
    assert kept.probabilities.shape == (40, 3)


def test_groups_lie_one_after_the_other(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "grouped_cce", groups())
    found = kept_test(tmp_path, [run])
    (kept,) = found.runs.values()
    shares = softmax(saved.logits.reshape(40, 2, 3)).reshape(40, 6)
    close(kept.probabilities, shares)
    assert found.per_group == 3
    assert (kept.present.reshape(40, 2, 3).argmax(2) == saved.labels).all()


def test_one_logit_has_two_columns_and_no_sigmoid_of_each(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "single_logit_bce", blobs(classes=2))
    (kept,) = kept_test(tmp_path, [run]).runs.values()
    close(kept.scores[:, 1:], sigmoid(saved.logits))
    assert kept.sigmoids is None


def test_soft_labels_are_hardened(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "grouped_cce", groups(labels="soft"))
    (kept,) = kept_test(tmp_path, [run]).runs.values()
    assert saved.labels.shape == (40, 2, 3)
    assert (kept.present.reshape(40, 2, 3).argmax(2) == saved.labels.argmax(2)).all()


@pytest.mark.parametrize("shares", [None, [0.8, 0.1, 0.1]])
def test_base_rates_are_those_of_the_training_labels(tmp_path: Path, shares: object) -> None:
    node = groups(shares=shares)
    run, saved = kept_run(tmp_path, "grouped_logit_adjusted_cce", node)
    data = data_of(node)
    rates = base_rates(data.outcome, data.train.labels)
    wanted = softmax(saved.logits.reshape(40, 2, 3) + rates.log().numpy()).numpy()
    (kept,) = kept_test(tmp_path, [run]).runs.values()
    close(kept.probabilities, wanted.reshape(40, 6))
    (arm,) = explain_image([tmp_path], 7).arms
    chosen = wanted[7, [0, 1], saved.labels[7]]
    assert arm.answers[0].log_loss == pytest.approx(-np.log(chosen).sum())


def test_a_head_whose_base_rates_are_not_at_hand_is_left_out(tmp_path: Path) -> None:
    lost, _ = kept_run(tmp_path, "grouped_logit_adjusted_cce", groups(), examples_digest="x" * 10)
    with pytest.raises(UserError, match=r"base rates.*changed"):
        kept_test(tmp_path, [lost])
    with pytest.raises(UserError, match=r"base rates.*changed"):
        explain_image([tmp_path], 7)
    run, _ = kept_run(tmp_path, "grouped_cce", groups())
    found = kept_test(tmp_path, [lost, run])
    assert list(found.runs) == [run.key]
    assert "base rates" in found.notes[0]
    assert "1 of 2 runs" in found.notes[1]


def own_runs(outputs: Path, seeds: tuple[int, ...]) -> list[Result]:
    """Runs of a head of one's own, in the package `my_heads`."""
    found = []
    for seed in seeds:
        run, _ = kept_run(outputs, "softmax_cce", blobs(), seed)
        config = {**run.config, "head": {"_target_": "my_heads.Own", "_partial_": True}}
        found.append(replace(run, config={**config, "choices": {"dataset": "toy", "head": "own"}}))
        write_result(outputs / "runs" / run.name, found[-1])
    return found


def test_a_head_that_is_not_trusted_is_left_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, _ = kept_run(tmp_path, "sigmoid_bce", blobs())
    own = own_runs(tmp_path, (0, 1))
    found = kept_test(tmp_path, [*own, shipped])
    image = explain_image([tmp_path], 7)
    assert list(found.runs) == [shipped.key]
    assert [arm.arm for arm in image.arms] == ["sigmoid_bce"]
    for note in (found.notes[0], image.notes[-1]):
        assert f"{own[0].name} has a head" in note
        assert "--trust my_heads" in note
        assert "1 more run" in note
        assert "_target_" not in note
    page = runs_page([*own, shipped], kept=lambda runs: kept_test(tmp_path, runs))
    assert "Reliability is of probabilities" in page
    assert "--trust my_heads" in page.replace("<wbr>", "")
    (tmp_path / "my_heads.py").write_text(
        "from lossheads.heads import SoftmaxCCE\n\n\nclass Own(SoftmaxCCE):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = kept_test(tmp_path, [*own, shipped], ["my_heads"])
    assert len(found.runs) == 3
    assert found.notes == ()
    assert len(explain_image([tmp_path], 7, ["my_heads"]).arms) == 2


def test_where_no_head_is_trusted_nothing_else_is_advised(tmp_path: Path) -> None:
    own = own_runs(tmp_path, (0, 1))
    for call in (lambda: kept_test(tmp_path, own), lambda: explain_image([tmp_path], 7)):
        with pytest.raises(UserError, match="--trust my_heads"):
            call()
    page = runs_page(own, kept=lambda runs: kept_test(tmp_path, runs))
    assert "--trust my_heads" in page.replace("<wbr>", "")
    assert "recording.predictions" not in page.replace("<wbr>", "")


def test_classes_that_are_not_drawn_are_counted(tmp_path: Path) -> None:
    for head in ("softmax_cce", "sigmoid_bce"):
        kept_run(tmp_path, head, digits())
    found = explain_image([tmp_path], 7)
    drawn = [found.bars(arm) for arm in found.arms]
    hidden = 10 - len(drawn[0].names)
    assert 0 < hidden <= 2
    assert drawn[0].names == drawn[1].names
    highest = np.max([bars.values for bars in drawn], axis=0)
    assert (np.diff(highest) <= 0).all()
    assert f"Not shown: {hidden} of 10 classes" in found.not_drawn
    assert found.not_drawn in found.html()
    assert len(found.to_dict()["class_names"]) == 10


def test_where_all_classes_are_drawn_nothing_is_counted(tmp_path: Path) -> None:
    kept_run(tmp_path, "softmax_cce", blobs())
    assert explain_image([tmp_path], 7).not_drawn == ""


def test_a_run_on_another_test_split_is_left_out(tmp_path: Path) -> None:
    first, _ = kept_run(tmp_path, "softmax_cce", blobs())
    other, _ = kept_run(tmp_path, "sigmoid_bce", blobs(test=30))
    found = kept_test(tmp_path, [first, other])
    assert list(found.runs) == [first.key]
    assert other.name in found.notes[0]


def test_of_many_examples_every_nth_stands_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, saved = kept_run(tmp_path, "softmax_cce", blobs())
    monkeypatch.setattr(kept_tests, "_MOST_CELLS", 40)
    found = kept_test(tmp_path, [run])
    (kept,) = found.runs.values()
    assert found.rows.tolist() == list(range(0, 40, 3))
    close(kept.scores, softmax(saved.logits[::3]))
    assert "3th" in " ".join(found.notes)


def test_pictures_are_those_of_the_test_split(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "softmax_cce", digits())
    found = kept_test(tmp_path, [run])
    pixels = found.image(saved.examples_digest, 5)
    given = data_of(digits()).test.inputs[5, 0].numpy()
    assert pixels is not None
    assert pixels.shape == (8, 8, 3)
    close(pixels[..., 0], np.rint(255 * (given - given.min()) / np.ptp(given)))
    assert found.image(saved.examples_digest, 355) is None
    assert found.image(saved.examples_digest, -1) is None


def test_inputs_that_are_no_picture_are_said_to_be_none(tmp_path: Path) -> None:
    run, saved = kept_run(tmp_path, "softmax_cce", blobs())
    assert kept_test(tmp_path, [run]).image(saved.examples_digest, 5) is None
    assert "no picture" in explain_image([tmp_path], 5).notes[0]


def test_runs_without_predictions_are_refused(tmp_path: Path) -> None:
    run, _ = kept_run(tmp_path, "softmax_cce", blobs())
    with pytest.raises(UserError, match=r"recording\.predictions=true"):
        kept_test(tmp_path, [replace(run, name="another")])


def test_nothing_is_fetched_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def refuse(*words: object, **named: object) -> None:
        called.append(words)
        raise OSError

    run, saved = kept_run(tmp_path, "softmax_cce", digits())
    kmnist = part("dataset", "kmnist")
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(published, "_scratch", refuse)
    before = sorted(tmp_path.rglob("*"))
    kept = kept_test(tmp_path, [replace(run, config=run.config | {"dataset": kmnist})])
    assert kept.image(saved.examples_digest, 0) is None
    assert called == []
    assert sorted(tmp_path.rglob("*")) == before
