"""What a result file holds besides numbers, and that older files still read."""

import base64
import json
import math
from dataclasses import replace

import pytest

from lossheads.errors import UserError
from lossheads.records import (
    CorrectMask,
    Measurement,
    Result,
    ValidationStep,
    read_result,
    write_result,
)

BITS = base64.b64encode(bytes([0b10110000] * 1250)).decode()  # 10,000 examples


def finished(right: CorrectMask | None) -> Result:
    measured = Measurement({"accuracy_score": 0.375}, {}, {}, {}, 10_000, right)
    validation = ValidationStep(0, 0.0, math.nan, 0.1, Measurement({}, {}, {}, {}, 1), measured)
    return Result("k", "run-k", "finished", {}, [], [validation], 1.0, {})


def test_right_answers_come_back_and_ten_thousand_cost_under_two_kilobytes(tmp_path):
    write_result(tmp_path, finished(CorrectMask(BITS, "0123456789")))
    found = read_result(tmp_path)
    assert found is not None
    assert found.test.correct == CorrectMask(BITS, "0123456789")
    assert found.test.correct.mask.bit_count() == 3 * 1250
    assert len(BITS) < 1_700
    assert found.val.correct is None


def test_a_result_from_before_they_were_recorded_reads(tmp_path):
    write_result(tmp_path, finished(None))
    path = tmp_path / "result.json"
    data = json.loads(path.read_text())
    for measured in (data["history"][0]["val"], data["history"][0]["test"]):
        del measured["correct"]
    path.write_text(json.dumps(data))
    found = read_result(tmp_path)
    assert found is not None
    assert found.test.correct is None


def test_bits_without_their_examples_are_refused(tmp_path):
    write_result(tmp_path, finished(CorrectMask(BITS, "0123456789")))
    path = tmp_path / "result.json"
    data = json.loads(path.read_text())
    del data["history"][0]["test"]["correct"]["examples_digest"]
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="is no result"):
        read_result(tmp_path)


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
