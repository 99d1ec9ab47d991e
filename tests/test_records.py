"""What a result file holds besides numbers, and that older files still read."""

import base64
import json
import math
from dataclasses import replace

import pytest

from lossheads.errors import UserError
from lossheads.records import Lap, Measurement, Result, Right, read_result, write_result

BITS = base64.b64encode(bytes([0b10110000] * 1250)).decode()  # 10,000 examples


def finished(right: Right | None) -> Result:
    measured = Measurement({"accuracy_score": 0.375}, {}, {}, {}, 10_000, right)
    lap = Lap(0, 0.0, math.nan, 0.1, Measurement({}, {}, {}, {}, 1), measured)
    return Result("k", "run-k", "finished", {}, [], [lap], 1.0, {})


def test_right_answers_come_back_and_ten_thousand_cost_under_two_kilobytes(tmp_path):
    write_result(tmp_path, finished(Right(BITS, "0123456789")))
    found = read_result(tmp_path)
    assert found is not None
    assert found.test.right == Right(BITS, "0123456789")
    assert found.test.right.mask.bit_count() == 3 * 1250
    assert len(BITS) < 1_700
    assert found.val.right is None


def test_a_result_from_before_they_were_recorded_reads(tmp_path):
    write_result(tmp_path, finished(None))
    path = tmp_path / "result.json"
    data = json.loads(path.read_text())
    for measured in (data["laps"][0]["val"], data["laps"][0]["test"]):
        del measured["right"]
    path.write_text(json.dumps(data))
    found = read_result(tmp_path)
    assert found is not None
    assert found.test.right is None


def test_bits_without_their_examples_are_refused(tmp_path):
    write_result(tmp_path, finished(Right(BITS, "0123456789")))
    path = tmp_path / "result.json"
    data = json.loads(path.read_text())
    del data["laps"][0]["test"]["right"]["examples"]
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="is no result"):
        read_result(tmp_path)


def test_the_kept_lap_is_the_one_measured_on_test_wherever_it_stands():
    result = finished(None)
    (measured,) = result.laps
    val = Measurement({"accuracy_score": 0.5}, {}, {}, {}, 1)
    later = replace(measured, step=7, val=val, test=None)
    stopped = replace(result, laps=[replace(measured, step=3), later])
    assert stopped.kept.step == 3
    assert stopped.val == measured.val
    assert stopped.test == measured.test
    lost = replace(stopped, laps=[later], status="diverged")
    assert lost.kept is later
    for without in (lost, replace(lost, laps=[])):
        with pytest.raises(ValueError, match="has no test measurement"):
            _ = without.test
    with pytest.raises(ValueError, match="has no lap"):
        _ = replace(lost, laps=[]).val
