"""What a result file holds besides numbers, and that files of other versions are refused."""

import base64
import errno
import json
import math
import random
import struct
from dataclasses import replace
from pathlib import Path

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
    read_results,
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


def test_the_kept_validation_is_the_one_measured_on_test_wherever_it_stands():
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


def at(*keys, value):
    """A change that sets one value, or deletes it where the value is `at`."""

    def change(data):
        for key in keys[:-1]:
            data = data[key]
        if value is at:
            del data[keys[-1]]
        else:
            data[keys[-1]] = value

    return change


TEST = ("history", 0, "test")
# What is wrong -> the change, and the field that the sentence has to name.
GARBLED_FIELDS = {
    "key is a number": (at("key", value=7), "key"),
    "name is null": (at("name", value=None), "name"),
    "status is no status": (at("status", value="done"), "status"),
    "config is a list": (at("config", value=[]), "config"),
    "config is empty": (at("config", value={}), "config.choices"),
    "choices are text": (at("config", "choices", value="digits"), "config.choices"),
    "head is missing": (at("config", "choices", "head", value=at), "config.choices.head"),
    "seed is text": (at("config", "seed", value="0"), "config.seed"),
    "class_names is an object": (at("class_names", value={}), "class_names"),
    "class_names hold numbers": (at("class_names", value=[1, 2]), "class_names.0"),
    "history is null": (at("history", value=None), "history"),
    "history is an object": (at("history", value={}), "history"),
    "history is empty": (at("history", value=[]), "the measurement of the test split"),
    "history holds a number": (at("history", 0, value=3), "history.0"),
    "history is missing": (at("history", value=at), "history"),
    "step is negative": (at("history", 0, "step", value=-1), "history.0.step"),
    "step is fractional": (at("history", 0, "step", value=0.5), "history.0.step"),
    "val is missing": (at("history", 0, "val", value=at), "history.0.val"),
    "test is a list": (at(*TEST, value=[1]), "history.0.test"),
    "test is null": (at(*TEST, value=None), "the measurement of the test split"),
    "a metric is text": (
        at(*TEST, "metrics", "accuracy_score", value="0.375"),
        "history.0.test.metrics.accuracy_score",
    ),
    "a metric is true": (
        at(*TEST, "metrics", "accuracy_score", value=True),
        "history.0.test.metrics.accuracy_score",
    ),
    "a metric is a list": (
        at(*TEST, "metrics", "accuracy_score", value=[0.1]),
        "history.0.test.metrics.accuracy_score",
    ),
    "a metric is a huge integer": (
        at(*TEST, "metrics", "accuracy_score", value=10**400),
        "beyond all floats",
    ),
    "baselines are null": (at(*TEST, "baselines", value=None), "history.0.test.baselines"),
    "per_class is ragged": (
        at(*TEST, "per_class", value={"a": [0.1], "b": [0.1, 0.2]}),
        "history.0.test.per_class",
    ),
    "per_class holds a number": (
        at(*TEST, "per_class", value={"a": 1}),
        "history.0.test.per_class.a",
    ),
    "undefined is fractional": (
        at(*TEST, "undefined", value={"a": 0.5}),
        "history.0.test.undefined.a",
    ),
    "n is text": (at(*TEST, "n", value="many"), "history.0.test.n"),
    "bits are no base64": (
        at(*TEST, "correct", "bits", value="ä"),
        "history.0.test.correct.bits",
    ),
    "seconds are null": (at("seconds", value=None), "seconds"),
    "environment is text": (at("environment", value="here"), "environment"),
    "threads are text": (at("environment", "threads", value="two"), "environment.threads"),
    "first_step is a list": (at("first_step", value=[]), "first_step"),
    "notes are one word": (at("notes", value="none"), "notes"),
    "diverged nowhere": (at("status", value="diverged"), "diverged_at"),
    "metric_info is a list": (at("metric_info", value=[]), "metric_info"),
    "perfect is text": (at("metric_info", value={"a": {"perfect": "1"}}), "metric_info.a"),
    "an unknown key": (at("laps", value=3), "laps"),
    "an unknown key with a line break": (at("a\nb", value=3), "a b"),
}


def torn(share):
    return lambda text: text[: int(len(text) * share)]


# What is wrong -> the change of the bytes.
GARBLED_BYTES = {
    "empty": lambda text: b"",
    "one brace": lambda text: b"{",
    "torn at a tenth": torn(0.1),
    "torn at a half": torn(0.5),
    "torn before the end": lambda text: text.rstrip()[:-1],
    "two results": lambda text: text + text,
    "binary": lambda text: bytes(range(256)),
    "latin-1": lambda text: text.replace(b"run-k", b"run-\xe4"),
    "NaN as a word": lambda text: text.replace(b"0.375", b"NaN"),
    "Infinity as a word": lambda text: text.replace(b"0.375", b"-Infinity"),
    "a number beyond all floats": lambda text: text.replace(b"0.375", b"1e999"),
    "an integer of 5,000 digits": lambda text: text.replace(b"10000", b"1" * 5000),
    "half a surrogate": lambda text: text.replace(b"run-k", b"run-\\ud800"),
    "a list": lambda text: b"[" + text + b"]",
    "a word": lambda text: b'"finished"',
    "null": lambda text: b"null",
    "a web page": lambda text: b"<!DOCTYPE html><p>404",
    "deeply nested": lambda text: b"[" * 100_000,
}


def garbled(folder, name):
    """A folder with the result so changed."""
    folder.mkdir(parents=True, exist_ok=True)
    base = finished(CorrectMask(BITS, "0123456789"))
    write_result(folder, replace(base, metric_info={"a": MetricInfo(None, 1.0)}))
    if name in GARBLED_FIELDS:
        rewrite(folder, GARBLED_FIELDS[name][0])
    else:
        path = folder / "result.json"
        path.write_bytes(GARBLED_BYTES[name](path.read_bytes()))


@pytest.mark.parametrize("name", [*GARBLED_FIELDS, *GARBLED_BYTES])
def test_a_garbled_result_is_refused_in_one_sentence(tmp_path, name):
    garbled(tmp_path, name)
    with pytest.raises(UserError) as refused:
        read_result(tmp_path)
    sentence = str(refused.value)
    assert sentence.startswith(f"{tmp_path / 'result.json'} ")
    assert "delete the folder to train the run again" in sentence
    assert GARBLED_FIELDS.get(name, (None, ""))[1] in sentence
    assert "\n" not in sentence
    assert len(sentence) < len(str(tmp_path)) + 300


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"0.375", b"0.376"), (b'"run-k"', b'"run-l"'), (b'"n":1,', b'"n":2,')],
)
def test_a_result_that_was_changed_by_hand_is_recognised(tmp_path, old, new):
    write_result(tmp_path, finished(None))
    path = tmp_path / "result.json"
    text = path.read_bytes()
    assert text.count(old) == 1
    path.write_bytes(text.replace(old, new))
    with pytest.raises(UserError, match="checksum"):
        read_result(tmp_path)


def test_white_space_does_not_count_as_a_change(tmp_path):
    write_result(tmp_path, finished(None))
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=8))
    assert repr(read_result(tmp_path)) == repr(finished(None))


def test_a_result_without_a_checksum_is_refused(tmp_path):
    write_result(tmp_path, finished(None))
    path = tmp_path / "result.json"
    data = json.loads(path.read_text())
    del data["checksum"]
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="has no checksum"):
        read_result(tmp_path)


def test_numbers_come_back_to_the_last_bit_and_infinities_as_nan(tmp_path):
    draw = random.Random(0)
    bits = [draw.getrandbits(64).to_bytes(8, "little") for _ in range(2000)]
    values = {str(i): struct.unpack("<d", eight)[0] for i, eight in enumerate(bits)}
    values |= {"tiny": 5e-324, "minus zero": -0.0, "inf": math.inf, "-inf": -math.inf}
    base = finished(None)
    test = replace(base.test, metrics=values)
    step = replace(base.history[0], test=test)
    write_result(tmp_path, replace(base, history=[step]))
    found = read_result(tmp_path)
    assert found is not None
    finite = {name: v if math.isfinite(v) else math.nan for name, v in values.items()}
    assert repr(found.test.metrics) == repr(finite)


def test_bad_folders_are_named_skipped_and_counted(tmp_path):
    names = [*GARBLED_FIELDS, *GARBLED_BYTES]
    for number, name in enumerate(names):
        garbled(tmp_path / f"{number:02d}", name)
    for number in ("0", "99"):
        (tmp_path / number).mkdir()
        write_result(tmp_path / number, finished(None))
    (tmp_path / "a file").write_text("not a folder")
    said: list[str] = []
    found = [folder.name for folder, _ in read_results(tmp_path, said.append)]
    assert found == ["0", "99"]
    assert len(said) == len(names) + 1
    assert all(str(tmp_path / f"{n:02d}" / "result.json") in said[n] for n in range(len(names)))
    assert f"{len(names)} runs of" in said[-1]


def test_an_unreadable_result_is_a_sentence(tmp_path, monkeypatch):
    write_result(tmp_path, finished(None))

    def forbidden(self):
        raise PermissionError(errno.EACCES, "no", str(self))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(UserError, match=r"result\.json cannot be read: permission denied"):
        read_result(tmp_path)
