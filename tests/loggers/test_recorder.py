import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.util import tensor_util

from lossheads import metrics
from lossheads.analysis.event_files import CONFUSION_COUNTS, DECISION_COUNTS, read_tensors
from lossheads.loggers import tensorboard
from lossheads.loggers.base import Logger
from lossheads.loggers.pictures import accuracies_figure
from lossheads.loggers.tensorboard import TensorBoardLogger
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions
from lossheads.records import MetricInfo

from .making import NAMES, THREE, predictions, read, result, text, validation_steps

THREE_METRICS = ("accuracy_score", "elementwise_accuracy_score", "expected_calibration_error")
TEN = tuple(f"class {number}" for number in range(10))


def record(folder, walked, outcome=THREE, said=None, names=NAMES):
    logger: Logger = TensorBoardLogger(folder, names, outcome)
    for validation in walked:
        logger.log_validation(validation)
    if said is not None:
        logger.log_figures(walked[-1], said, names)
    logger.close(result(walked))
    return read(folder)


def points(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_every_metric_has_a_line_and_no_baseline_takes_room_beside_it(tmp_path):
    walked = validation_steps()
    events = record(tmp_path, walked)
    lower_is_better = {metric.name for metric in metrics.metrics_for(THREE) if metric.perfect == 0}
    for name in walked[0].val.metrics:
        section = "error" if name in lower_is_better else "accuracy"
        expected = [
            (validation.step, pytest.approx(validation.val.metrics[name], abs=1e-6))
            for validation in walked
        ]
        assert points(events, f"{section}/{name}") == expected
    assert not [tag for tag in events.Tags()["scalars"] if tag.startswith("baseline/")]


def test_the_text_about_a_run_has_every_test_metric_beside_its_baseline_and_skill(tmp_path):
    walked = validation_steps()
    said = text(record(tmp_path, walked), "about/run")
    end = walked[-1].test
    assert f"n = {end.n}" in said
    for name, value in end.metrics.items():
        (row,) = (line for line in said.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        wanted = [value, end.baselines.get(name, math.nan)]
        assert cells[1:3] == [f"{x:.4f}" if math.isfinite(x) else "–" for x in wanted]
    # (value - baseline) / (perfect - baseline), by hand
    known = result(walked, metric_info={"accuracy_score": MetricInfo(True, 1.0)})
    (row,) = (
        line
        for line in tensorboard.about(known).splitlines()
        if line.startswith("| `accuracy_score` |")
    )
    value, baseline = end.metrics["accuracy_score"], end.baselines["accuracy_score"]
    assert row.split("|")[4].strip() == f"{(value - baseline) / (1 - baseline):.4f}"


def test_the_training_loss_starts_after_the_first_step(tmp_path):
    events = record(tmp_path, validation_steps())
    assert points(events, "loss/train") == [(10, 1.0), (20, 0.5)]
    assert [value for _, value in points(events, "training/learning_rate")] == [
        pytest.approx(1e-3)
    ] * 3


def test_classes_have_their_scores_under_a_name_without_slash(tmp_path):
    walked = validation_steps()
    events = record(tmp_path, walked)
    tags = {"recall": "recall_score", "score_when_present": "score_when_present"}
    tags |= {"score_when_absent": "score_when_absent"}
    for tag, metric in tags.items():
        drawn = points(events, f"{tag}/T-shirt-top")
        assert drawn[-1] == (20, pytest.approx(walked[-1].val.per_class[metric][0], abs=1e-6))
    assert not [tag for tag in events.Tags()["scalars"] if "T-shirt/top" in tag]


def test_three_metrics_of_the_test_split_are_written_once_at_the_end(tmp_path):
    walked = validation_steps()
    events = record(tmp_path, walked)
    written = [tag for tag in events.Tags()["scalars"] if tag.startswith("test/")]
    assert written == [f"test/{name}" for name in THREE_METRICS]
    for name in THREE_METRICS:
        value = walked[-1].test.metrics[name]
        assert points(events, f"test/{name}") == [(20, pytest.approx(value, abs=1e-6))]


@pytest.mark.parametrize("outcome", [THREE, AnyOf(3)], ids=str)
def test_the_counts_of_the_picture_can_be_read_again(tmp_path, outcome):
    said = predictions(outcome)
    record(tmp_path, validation_steps(outcome=outcome), outcome, said)
    tag = CONFUSION_COUNTS if outcome is THREE else DECISION_COUNTS
    counted = read_tensors(tmp_path)[tag]
    assert counted.sum() == said.labels.numel()
    if outcome is THREE:
        by_hand = np.zeros((3, 3))
        for true, decided in zip(said.labels.tolist(), said.decisions.tolist(), strict=True):
            by_hand[true, decided] += 1
        np.testing.assert_array_equal(counted, by_hand)
    else:
        np.testing.assert_array_equal(counted[:, :2].sum(axis=1), said.labels.sum(dim=0))


def test_the_confusions_of_very_many_classes_are_not_kept(tmp_path):
    many = OneOf(101)
    names = tuple(f"class {k}" for k in range(101))
    walked = validation_steps(outcome=many)
    record(tmp_path, walked, many, predictions(many, n=202), names)
    assert CONFUSION_COUNTS not in read_tensors(tmp_path)


def test_ten_classes_take_half_a_hundred_lines_and_many_columns_no_more_than_twenty(tmp_path):
    few = record(tmp_path / "few", validation_steps(outcome=OneOf(10)), OneOf(10), names=TEN)
    assert len(few.Tags()["scalars"]) <= 53  # 136 before
    many = OneOf(50)
    names = tuple(f"class {k}" for k in range(50))
    some = record(tmp_path / "many", validation_steps(outcome=many), many, names=names)
    assert len(some.Tags()["scalars"]) <= 85


def test_one_run_is_one_event_file(tmp_path):
    record(tmp_path, validation_steps(), said=predictions(THREE))
    files = list(tmp_path.rglob("*"))
    assert len(files) == 1, files
    assert files[0].name.startswith("events.out.tfevents.")


def test_a_validation_is_on_disk_before_the_run_is_closed(tmp_path):
    logger = TensorBoardLogger(tmp_path, NAMES, THREE)
    logger.log_validation(validation_steps()[0])
    assert points(read(tmp_path), "accuracy/accuracy_score")
    logger.close(result(validation_steps()))


def test_a_validation_that_comes_again_adds_only_what_is_new(tmp_path):
    walked = validation_steps(4)
    kept = replace(walked[1], test=walked[-1].test)
    events = record(tmp_path, [*walked[:3], kept])
    assert [step for step, _ in points(events, "accuracy/accuracy_score")] == [0, 10, 20]
    assert [step for step, _ in points(events, "test/accuracy_score")] == [10]


def test_undefined_values_are_counted_instead_of_drawn(tmp_path):
    first, second = validation_steps(2)
    holes = first.val.metrics | {"nll_loss": math.inf, "brier_sum_loss": math.nan}
    first = replace(first, val=replace(first.val, metrics=holes))
    second = replace(second, test=replace(second.test, undefined={"macro_f1_score": 2}))
    events = record(tmp_path, [first, second])
    assert [step for step, _ in points(events, "error/brier_sum_loss")] == [10]
    assert [step for step, _ in points(events, "error/nll_loss")] == [10]
    said = text(events, "about/undefined")
    assert "| error/brier_sum_loss | 1 |" in said
    assert "| error/nll_loss | 1 |" in said
    assert "| macro_f1_score | 2 |" in said
    assert "loss/train" not in said


def test_a_class_that_never_occurs_has_no_curve_and_is_counted(tmp_path):
    said = predictions(THREE)
    said = replace(said, labels=said.labels.clamp(max=1))
    events = record(tmp_path, validation_steps(), said=said)
    assert "pr/bag" in events.Tags()["tensors"]
    assert "pr/coat" not in events.Tags()["tensors"]
    assert "scores_when_absent/coat" in events.Tags()["histograms"]
    assert "scores_when_present/coat" not in events.Tags()["histograms"]
    assert "| pr/coat | 1 |" in text(events, "about/undefined")
    assert "| scores_when_present/coat | 1 |" in text(events, "about/undefined")


def test_histograms_hold_the_counts_of_the_metric(tmp_path):
    said = predictions(THREE)
    events = record(tmp_path, validation_steps(), said=said)
    spread = metrics.score_histograms(said)
    for k, name in enumerate(("T-shirt-top", "bag", "coat")):
        for when, counts in (("present", spread.present), ("absent", spread.absent)):
            (event,) = events.Histograms(f"scores_when_{when}/{name}")
            drawn = event.histogram_value
            assert drawn.bucket == counts[k].tolist()
            assert drawn.bucket_limit == spread.edges[1:].tolist()
            assert (drawn.min, drawn.max, drawn.num) == (0.0, 1.0, counts[k].sum())


def test_precision_recall_curves_hold_the_counts_of_the_metric(tmp_path):
    said = predictions(THREE)
    events = record(tmp_path, validation_steps(), said=said)
    curves = metrics.precision_recall_curves(said)
    (event,) = events.Tensors("pr/T-shirt-top")
    drawn = tensor_util.make_ndarray(event.tensor_proto)
    named = (
        curves.true_positives,
        curves.false_positives,
        curves.true_negatives,
        curves.false_negatives,
        curves.precision.nan_to_num(0.0),
        curves.recall,
    )
    np.testing.assert_allclose(drawn, torch.stack([row[0].double() for row in named]), rtol=1e-6)


def test_hyper_parameters_lie_in_the_same_file_and_name_test_metrics(tmp_path):
    walked = validation_steps()
    events = record(tmp_path, walked)
    content = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(data)
        for tag, data in events.PluginTagToContent("hparams").items()
    }
    start = content[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    assert {name: value.number_value or value.string_value for name, value in start.items()} == {
        "choices.head": "softmax_cce",
        "seed": 3.0,
        "head._target_": "lossheads.heads.SoftmaxCCE",
        "optimizer.lr": 0.001,
        "optimizer.betas": "[0.9, 0.999]",
        "optimizer.nesterov": "False",
    }
    experiment = content[metadata.EXPERIMENT_TAG].experiment
    tags = [metric.name.tag for metric in experiment.metric_infos]
    assert tags == [f"test/{name}" for name in THREE_METRICS]
    # TensorBoard shows those first that are said to differ between runs.
    first = {info.name for info in experiment.hparam_infos if info.differs}
    assert first == {"choices.head", "optimizer.lr", "seed"}
    assert metadata.SESSION_END_INFO_TAG in content


def test_the_text_explains_every_metric(tmp_path):
    said = text(record(tmp_path, validation_steps()), "about/metrics")
    for metric in (*metrics.metrics_for(THREE), *metrics.per_class_metrics_for(THREE)):
        assert metric.description.replace("|", "\\|") in said
        assert f"`{metric.name}`" in said


def test_the_text_says_how_the_run_ended(tmp_path):
    logger = TensorBoardLogger(tmp_path, NAMES, THREE)
    lost = result(
        validation_steps(1), status="diverged", diverged_at={"step": 7, "learning_rate": 100.0}
    )
    logger.close(lost)
    said = text(read(tmp_path), "about/run")
    for row in ("| status | diverged |", "| diverged at: step | 7 |", "a note with a \\| in it"):
        assert row in said


def test_a_run_without_validations_can_be_closed(tmp_path):
    logger = TensorBoardLogger(tmp_path, NAMES, THREE)
    logger.close(result([], status="failed"))
    assert "| validation steps | 0 |" in text(read(tmp_path), "about/run")


@pytest.mark.parametrize("outcome", [THREE, AnyOf(3)], ids=str)
def test_both_pictures_are_drawn(tmp_path, outcome):
    events = record(tmp_path, validation_steps(outcome=outcome), outcome, predictions(outcome))
    for tag in ("figure/confusion_matrix", "figure/accuracies"):
        (image,) = events.Images(tag)
        assert image.encoded_image_string.startswith(b"\x89PNG")
        size = np.frombuffer(image.encoded_image_string[16:24], dtype=">u4")
        assert (image.width, image.height) == tuple(size)


def test_sets_of_classes_get_one_name_per_set_and_class(tmp_path):
    outcome = EachOneOf(2, 3)
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (40, 2), generator=generator)
    scores = torch.randn(40, 2, 3, generator=generator).softmax(dim=-1)
    said = Predictions(
        outcome=outcome,
        labels=labels,
        scores=scores,
        log_probs=scores.double().log(),
        decisions=scores.argmax(dim=-1),
        framework_outputs=scores.flatten(1),
        framework_target=outcome.indicators(labels).flatten(1),
        framework_loss="other",
        logits=scores.log().flatten(1),
    )
    measured = metrics.measure(said, full=True)
    walked = [
        replace(validation, val=measured, test=validation.test and measured)
        for validation in validation_steps()
    ]
    events = record(tmp_path, walked, outcome, said)
    drawn = points(events, "recall/group 1 bag")
    assert drawn[0][1] == pytest.approx(measured.per_class["recall_score"][4])
    assert "pr/group 1 bag" in events.Tags()["tensors"]
    assert events.Images("figure/confusion_matrix")


def test_the_picture_of_accuracies_shows_what_the_last_validation_measured_of_these_decisions(
    tmp_path, monkeypatch
):
    drawn = []

    def drawing(names, values, baselines, say):
        drawn.append((list(zip(names, values, baselines, strict=True)), say))
        return accuracies_figure(names, values, baselines, say)

    monkeypatch.setattr(tensorboard, "accuracies_figure", drawing)
    *before, last = validation_steps()
    assert last.test is not None
    scores = {"accuracy_score": 0.5, "tuned/accuracy_score": 0.75, "macro_f1_score": math.nan}
    baselines = dict.fromkeys([*scores, "nll_loss"], 0.25)
    test = replace(last.test, metrics=scores | {"nll_loss": 1.0}, baselines=baselines, n=80)
    record(tmp_path, [*before, replace(last, test=test)], said=predictions(THREE))
    ((bars, say),) = drawn
    assert bars == [("accuracy_score", 0.5, 0.25)]
    assert "n = 80" in say


def test_classes_without_charts_are_counted(tmp_path):
    many = OneOf(60)
    names = tuple(f"class {k}" for k in range(60))
    events = record(tmp_path / "many", validation_steps(outcome=many), many, names=names)
    assert "Of 60 classes the first 20 have charts" in text(events, "about/undefined")
    drawn = {tag.split("/")[1] for tag in events.Tags()["scalars"] if tag.startswith("recall/")}
    assert drawn == set(names[:20])
    assert "have charts" not in text(
        record(tmp_path / "few", validation_steps()), "about/undefined"
    )
