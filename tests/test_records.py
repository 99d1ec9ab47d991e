"""What a result file holds besides numbers, and that files of other versions are refused."""

import base64
import json
import math
from dataclasses import replace

import pytest

from lossheads.errors import UserError
from lossheads.records import (
    CorrectMask,
    Measurement,
    MetricInfo,
    Result,
    ValidationStep,
    checksum,
    read_result,
    write_result,
)

BITS = base64.b64encode(bytes([0b10110000] * 1250)).decode()  # 10,000 examples


def finished(right: CorrectMask | None) -> Result:
    measured = Measurement({"accuracy_score": 0.375}, {}, {}, {}, 10_000, right)
    validation = ValidationStep(0, 0.0, math.nan, 0.1, Measurement({}, {}, {}, {}, 1), measured)
    config = {"seed": 0, "choices": {"dataset": "digits", "head": "softmax_cce"}}
    return Result("k", "run-k", "finished", config, [], [validation], 1.0, {})


def test_right_answers_come_back_and_ten_thousand_cost_under_two_kilobytes(tmp_path):
    write_result(tmp_path, finished(CorrectMask(BITS, "0123456789")))
    found = read_result(tmp_path)
    assert found is not None
    assert found.test.correct == CorrectMask(BITS, "0123456789")
    assert found.test.correct.mask.bit_count() == 3 * 1250
    assert len(BITS) < 1_700
    assert found.val.correct is None


def test_a_result_without_them_reads(tmp_path):
    write_result(tmp_path, finished(None))

    def without(data):
        for measured in (data["history"][0]["val"], data["history"][0]["test"]):
            del measured["correct"]

    rewrite(tmp_path, without)
    found = read_result(tmp_path)
    assert found is not None
    assert found.test.correct is None


def test_bits_without_their_examples_are_refused(tmp_path):
    write_result(tmp_path, finished(CorrectMask(BITS, "0123456789")))
    rewrite(tmp_path, lambda data: data["history"][0]["test"]["correct"].pop("examples_digest"))
    with pytest.raises(UserError, match="is damaged"):
        read_result(tmp_path)


def rewrite(folder, change):
    """The result file with its data changed in place, and a checksum that fits."""
    path = folder / "result.json"
    data = json.loads(path.read_text())
    del data["checksum"]
    change(data)
    data["checksum"] = checksum(data)
    path.write_text(json.dumps(data))


def older(data):
    """What lossheads wrote before the file had a version."""
    del data["schema_version"], data["metric_info"]
    data["laps"] = data.pop("history")
    for lap in data["laps"]:
        for split in ("val", "test"):
            lap[split]["rulers"] = lap[split].pop("metrics")
            lap[split]["floors"] = lap[split].pop("baselines")


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (older, "no schema_version"),
        (lambda data: data.pop("schema_version"), "no schema_version"),
        (lambda data: data.update(schema_version=2), "schema_version 2"),
        (lambda data: data.update(schema_version="1"), "schema_version '1'"),
        (lambda data: data.update(schema_version=True), "schema_version True"),
    ],
    ids=["laps", "none", "2", "text", "bool"],
)
def test_a_result_of_another_version_is_refused_with_both_versions(tmp_path, change, got):
    write_result(tmp_path, finished(None))
    rewrite(tmp_path, change)
    with pytest.raises(UserError) as refused:
        read_result(tmp_path)
    said = str(refused.value)
    assert str(tmp_path / "result.json") in said
    assert f"has {got}, schema_version 1 is needed" in said
    assert "\n" not in said


def test_a_metrics_direction_and_best_value_come_back(tmp_path):
    infos = {
        "gold_score": MetricInfo(False, 0.25),
        "tuned/hamming_loss": MetricInfo(False, 0.0),
        "unknown_best": MetricInfo(None, math.nan),
    }
    write_result(tmp_path, replace(finished(None), metric_info=infos))
    found = read_result(tmp_path)
    assert found is not None
    assert repr(found.metric_info) == repr(infos)  # as text: NaN equals itself there
    assert found.info("gold_score").higher_is_better is False
    assert found.info("never_measured").higher_is_better is None


def test_the_kept_lap_is_the_one_measured_on_test_wherever_it_stands():
    result = finished(None)
    (measured,) = result.history
    val = Measurement({"accuracy_score": 0.5}, {}, {}, {}, 1)
    later = replace(measured, step=7, val=val, test=None)
    stopped = replace(result, history=[replace(measured, step=3), later])
    assert stopped.kept.step == 3
    assert stopped.val == measured.val
    assert stopped.test == measured.test
    lost = replace(stopped, history=[later], status="diverged")
    assert lost.kept is later
    for without in (lost, replace(lost, history=[])):
        with pytest.raises(ValueError, match="has no test measurement"):
            _ = without.test
    with pytest.raises(ValueError, match="has no validation step"):
        _ = replace(lost, history=[]).val
