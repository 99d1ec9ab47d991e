"""lossheads decode: from the command line and from Python, refusals included."""

import json
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
import pytest

import lossheads as lh
from calling import lossheads, refusal
from lossheads.cli.decode import command as decode_command
from lossheads.decoding.facts import KEYS, read_facts, read_words
from lossheads.errors import UserError


def test_the_command_prints_what_python_returns(tmp_path: Path) -> None:
    words = ["accuracy=0.9728", "classes=10", "framework=keras-2.2", "loss=binary_crossentropy"]
    done = lossheads("decode", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lh.decode(accuracy="0.9728", classes=10, framework="keras-2.2", loss="bce")
    assert done.stdout == f"{found}\n"
    for number in ("0.9000", "0.728", "0.8640", "0.7275 to 1.0000"):
        assert number in done.stdout
    printed = lossheads("decode", *words, "--json", cwd=tmp_path)
    assert json.loads(printed.stdout) == json.loads(json.dumps(found.to_dict()))
    assert not list(tmp_path.iterdir())


def test_it_takes_no_torch_and_a_third_of_a_second(tmp_path: Path) -> None:
    """Seconds of a processor, Python's start included: others may be at work on the machine."""
    call = [sys.executable, "-P", "-m", "lossheads", "decode", "loss=2.303", "classes=10"]
    seconds = []
    for _ in range(3):
        before = getrusage(RUSAGE_CHILDREN)
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True)
        after = getrusage(RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "ln 10" in done.stdout
    assert min(seconds) < 0.3
    code = (
        "import sys, lossheads; str(lossheads.decode(loss=2.303, classes=10));"
        "sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["acuracy=0.9"], ["acuracy", "accuracy"]),
        (["accuracy=120"], ["accuracy", "120"]),
        (["accuracy=-0.1"], ["accuracy", "-0.1"]),
        (["accuracy=ten"], ["accuracy", "ten"]),
        (["accuracy=0.9", "framework=keres-2.2"], ["keres", "keras"]),
        (["accuracy=0.9", "framework=pytorch"], ["pytorch", "torchmetrics"]),
        (["accuracy=0.9", "framework=keras-9"], ["framework", "keras-9", "Keras", "3.15"]),
        (["accuracy=0.9", "framework=keras-0.3"], ["framework", "keras-0.3", "1.0"]),
        (["accuracy=0.9", "framework=fastai-1"], ["framework", "fastai-1", "2"]),
        (["accuracy=0.9", "metric=binary_acuracy"], ["binary_acuracy", "binaryaccuracy"]),
        (["accuracy=0.9", "loss=binary_crosentropy"], ["binary_crosentropy", "crossentropy"]),
        (["accuracy=0.9", "last_layer=softmx"], ["softmx", "softmax"]),
        (["loss=nan"], ["loss", "nan"]),
        (["loss=0.1", "loss=0.2"], ["loss", "0.1", "0.2"]),
        (["loss=0.1", "classes=1"], ["classes", "1", "units=1"]),
        (["loss=1e400"], ["loss", "1e400"]),
        (["loss=0.1", "classes=1e400"], ["classes", "1e400"]),
        (["loss=0.1", "classes=2.5"], ["classes", "2.5"]),
        (["loss=0.1", "classes=10", "labels=3"], ["classes=10", "labels=3"]),
        (["loss=0.1", "classes=10", "units=1"], ["units=1", "classes=10"]),
        (["accuracy=0.9", "classes=2", "units=5"], ["units", "1 or 2", "got 5"]),
        (["loss=0.1", "classes=10", "units=11"], ["units", "10", "got 11"]),
        (["accuracy=0.9", "labels=20", "positives=30"], ["positives", "labels=20", "got 30"]),
        (["loss=0.1", "classes=10", "prevalence=0.3"], ["prevalence", "10"]),
        (["loss=0.1", "classes=3", "prevalence=0.3,0.3,0.3"], ["prevalence", "0.9"]),
        (["loss=0.1", "prevalence=1.2"], ["prevalence", "1.2"]),
        (["loss=0.1", "smoothing=1.5"], ["smoothing", "1.5"]),
        (["loss=0.1", "pos_weight=-3"], ["pos_weight", "-3"]),
        (["classes=10"], ["accuracy=", "classes"]),
        (["loss"], ["loss", "KEY=VALUE"]),
        ([], ["accuracy="]),
        (["--jsn", "loss=1"], ["--jsn"]),
    ],
)
def test_what_is_not_understood_is_refused(
    words: list[str], named: list[str], tmp_path: Path
) -> None:
    said = refusal("decode", *words, cwd=tmp_path)
    for name in named:
        assert name in said


def test_numbers_are_read_as_they_were_printed() -> None:
    for given, value, half in [
        ("0.9728", 0.9728, 5e-5),
        ("0.90", 0.9, 0.005),
        (0.9728, 0.9728, 5e-5),
        (np.float32(0.9728), 0.9728, 5e-5),
        ("97.28%", 0.9728, 5e-5),
        ("97.28", 0.9728, 5e-5),
        (97, 0.97, 0.005),
        ("0,9728", 0.9728, 5e-5),
    ]:
        number = read_facts({"accuracy": given}).accuracy
        assert number is not None
        assert (number.value, number.half) == pytest.approx((value, half)), given
    small = read_facts({"loss": "1.1921e-07"}).loss
    assert small is not None
    assert small.half == pytest.approx(5e-12)


def test_a_thousand_million_classes_cost_nothing() -> None:
    found = lh.decode(accuracy="0.9999999990", loss="20.7233", classes=10**9)
    assert found.loss[0].fingerprint.name == "uniform, cce"
    assert found.accuracy[1].baseline == pytest.approx(1 - 1e-9, abs=1e-12)


def test_words_of_logs_are_known() -> None:
    facts = read_facts(read_words(["val_acc=0.9", "val_loss=0.3", "C=10", "N=500", "loss=bce"]))
    assert facts.classes == 10
    assert facts.examples == 500
    assert facts.loss is not None
    assert facts.loss_name == "binary_crossentropy"
    assert read_facts({"binary_accuracy": 0.9}).metric == "cells"
    assert (
        read_facts({"accuracy": 0.9, "metric": "keras.metrics.Accuracy()"}).metric == "equal_cells"
    )
    assert read_facts({"loss": 1, "prevalence": "0.2,0.8"}).prevalence == (0.2, 0.8)
    assert read_facts({"loss": 1, "prevalence": [0.2, 0.8]}).prevalence == (0.2, 0.8)


def test_the_help_names_every_key(tmp_path: Path) -> None:
    done = lossheads("decode", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for key in KEYS:
        assert key in done.stdout
    assert "lossheads decode" in lossheads("--help", cwd=tmp_path).stdout


DOCUMENTED = Path(__file__).parents[2] / "docs" / "decode.md"
LINES = [line for line in DOCUMENTED.read_text().splitlines() if line.startswith("lossheads dec")]


@pytest.mark.parametrize("line", LINES)
def test_the_documented_calls_find_something(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.split()[2:]
    assert decode_command([*words, "--json"] if "--json" not in words else words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] or found["loss"]
    if "loss" in found["facts"]:
        assert found["loss"]


def test_two_numbers_under_one_key_are_quoted_as_typed() -> None:
    with pytest.raises(lh.UserError, match=r"got 0\.50 and 0\.6:"):
        lh.decode(accuracy=["0.50", "0.6"])


def test_a_negative_loss_that_nothing_prints_is_explained() -> None:
    said = str(lh.decode(loss="-3.21", classes=10))
    assert "cannot be negative" in said
    assert "NLLLoss" in said
    assert "cannot be negative" not in str(lh.decode(loss="3.21", classes=10))


@pytest.mark.parametrize("key", ["accuracy", "pos_weight"])
def test_what_is_no_loss_is_not_told_that_it_is_one(key):
    given = {"loss": "0.1", key: "1e400"}
    with pytest.raises(UserError, match=rf"{key} must .*1e400") as refused:
        lh.decode(**given)
    assert "loss" not in str(refused.value)
    with pytest.raises(UserError, match="overflowed"):
        lh.decode(loss="1e400")


@pytest.mark.parametrize(
    "text",
    ["keras-3.16", "keras-2", "torchmetrics-1.12", "sklearn-0.24", "tf-2.16.1", "ignite-0.4"],
)
def test_versions_that_exist_are_read(text):
    assert lh.decode(accuracy="0.9", classes=10, framework=text).accuracy
