"""`lossheads explain`: numbers by pencil, sentences for what it cannot read, and its page."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import lossheads as lh
from calling import lossheads, python, refusal
from lossheads.analysis.bars import Bars, as_pixels, blocks, resized
from lossheads.datasets.digits import Digits
from lossheads.evaluation.explaining_image import explain_image
from lossheads.predictions_file import read_predictions

from .kept_runs import blobs, kept_run

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
Z = [2.1, -0.3, 0.4]
TRAIN = ["train", "dataset=digits", "model=linear", "recording.tensorboard=false", "-m", "seed=0,1"]
TRAIN += ["head=softmax_cce,sigmoid_bce", "training.epochs=3"]


def test_numbers_are_those_of_a_pencil() -> None:
    found = lh.explain(Z, 0, head=["sigmoid_bce", "softmax_cce"])
    sigmoids = [1 / (1 + math.exp(-z)) for z in Z]
    shares = [math.exp(z) / sum(map(math.exp, Z)) for z in Z]
    bce, cce = found.heads
    losses = [-math.log(sigmoids[0]), -math.log(1 - sigmoids[1]), -math.log(1 - sigmoids[2])]
    assert bce["scores"] == pytest.approx(sigmoids)
    assert bce["terms"] == pytest.approx(losses)
    assert bce["loss"] == pytest.approx(sum(losses))
    assert bce["gradient"] == pytest.approx([sigmoids[0] - 1, *sigmoids[1:]])
    assert bce["probabilities"] == pytest.approx(shares)
    assert cce["loss"] == pytest.approx(-math.log(shares[0]))
    assert cce["gradient"] == pytest.approx([shares[0] - 1, *shares[1:]])
    assert (bce["decision"], cce["decision"]) == (0, 0)
    assert "1.5829" in str(found)


@pytest.mark.parametrize(
    ("logits", "target", "head", "outcome", "decision"),
    [
        (Z, [1, 0, 1], "multilabel_cce", "AnyOf(n=3)", [True, False, True]),
        ([[2.0, -1, 0], [0, 1, 3]], [0, 1], "grouped_cce", "EachOneOf(groups=2, n=3)", [0, 2]),
        ([0.8], 1, "single_logit_bce", "OneOf(n=2)", 1),
    ],
)
def test_every_kind_of_label(logits, target, head, outcome, decision) -> None:
    found = lh.explain(logits, target, head=head)
    assert found.outcome == outcome
    assert found.heads[0]["decision"] == decision


def test_a_head_without_a_gradient_has_zeros() -> None:
    (steps,) = lh.explain([0.8], 1, head="single_logit_softmax_cce").heads
    assert (steps["loss"], steps["gradient"]) == (0, [0])


def test_base_rates_are_asked_for_and_used() -> None:
    logits, rates = [[2.0, -1, 0], [0, 1, 3]], [[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]
    with pytest.raises(lh.UserError, match="base_rates="):
        lh.explain(logits, [0, 1], head="grouped_logit_adjusted_cce")
    (steps,) = lh.explain(logits, [0, 1], head="grouped_logit_adjusted_cce", base_rates=rates).heads
    shifted = [z + math.log(r) for z, r in zip(logits[0], rates[0], strict=True)]
    share = math.exp(shifted[0]) / sum(map(math.exp, shifted))
    assert steps["probabilities"][0][0] == pytest.approx(share)


SETTINGS = ["head=softmax_cce", "logits=1,2,3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*SETTINGS, "target=1,0,1"], "outcome=any_of"),
        ([*SETTINGS, "target=0.5"], "leaves open"),
        ([*SETTINGS, "target=7"], "got 7"),
        ([*SETTINGS, "target=0.5,0.5,0.1", "outcome=one_of"], "must sum to 1"),
        ([*SETTINGS, "target=1,2", "outcome=one_of"], "one class"),
        ([*SETTINGS, "target=0", "outcome=oneof"], "did you mean one_of"),
        ([*SETTINGS, "target=1,0,1", "outcome=any_of"], "use head=sigmoid_bce"),
        (["head=sigmoid_bce", "logits=1,2,3", "outcome=any_of", "target=0,2"], "one 0 or 1"),
        (["head=grouped_cce", "logits=1,2,3", "outcome=each_one_of", "target=0"], "separated by /"),
        (["head=grouped_cce", "logits=1,2,3/1,2", "target=0,1"], "equally many"),
        (["head=softmax_ce", "logits=1,2", "target=0"], "did you mean softmax_cce"),
        (["head=softmax_cce", "logits=1,x", "target=0"], "'1,x'"),
        (["head=softmax_cce", "logits=1,nan", "target=0"], "1 NaN"),
        (["head=softmax_cce", "logits=1", "target=0"], "softmax_cce|SoftmaxCCE"),
        (["head=focal", "head.gama=1", "logits=1,2", "target=0"], "did you mean gamma"),
        (["head=focal", "head._target_=os.system", "logits=1,2", "target=0"], "head=NAME"),
        ([*SETTINGS, "logits=1,2,3", "target=0"], "2 logits= for 1 head="),
        ([*SETTINGS, "head=softmax_cce", "target=0"], "twice"),
        ([*SETTINGS], "target="),
        ([*SETTINGS, "target=3"], "0 … 2, got 3"),
        ([*SETTINGS, "target=-1"], "0 … 2, got -1"),
        ([*SETTINGS, f"target={10**20}"], f"'{10**20}'"),
        ([*SETTINGS, "target=nan,0,1", "outcome=one_of"], "'nan,0,1'"),
        ([*SETTINGS, "target=0.2,0.3,1.5", "outcome=one_of"], r"in \[0, 1\]"),
        (["head=single_logit_bce", "logits=1", "target=0.3", "outcome=one_of"], "0.3,0.7, got 0.3"),
        (
            ["head=single_logit_bce", "logits=1,2", "target=0"],
            "2 logits: Single.* needs 1",
        ),
        (["head=two_logit_cce", "logits=1", "target=0"], "1 logits: TwoLogitCCE .* needs 2"),
        (["head=softmax_cce", "logits=1,1e400", "target=0"], "1 infinite"),
        (["head=softmax_cce", f"logits={','.join('1' * 65)}", "target=0"], "65 logits"),
        (["head=softmax_weighted_cce", "logits=1,2", "target=0"], "base_rates=P,P"),
        (["head=softmax_weighted_cce", "logits=1,2", "target=0", "base_rates=1,1"], "sum to 1"),
        (["head=softmax_weighted_cce", "logits=1,2", "target=0", "base_rates=nan,1"], "base rates"),
        (["head=dice", "logits=1,2", "target=0"], "Dice"),
        (["head.gamma=1", "head=focal", "logits=1,2", "target=0"], "before any head="),
        (["image=-1", "runs=."], "got '-1'"),
        (["image=3", "runs=.", "--data", "nowhere"], "--data must name a folder"),
        (["image=3"], "runs=PATH"),
        (["image=x", "runs=."], "image must be a row"),
        (["image=3", "runs=nowhere"], "no folder nowhere"),
        (["image=3", "runs=."], "recording.predictions=true"),
        (["loggits=1"], "did you mean logits"),
        (["--nope"], "--nope"),
    ],
)
def test_what_it_cannot_read_is_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    assert re.search(said, refusal("explain", *words, cwd=tmp_path))


def test_page_and_json_hold_what_is_printed(tmp_path: Path) -> None:
    words = ["explain", "head=sigmoid_bce", "logits=2.1,-0.3,0.4", "target=0", "head=softmax_cce"]
    done = lossheads(*words, "--json", "--html", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    losses = [s["values"] for h in found["heads"] for s in h["steps"] if s["name"] == "loss"]
    soft_plus = [math.log1p(math.exp(z)) for z in (-Z[0], *Z[1:])]
    total = math.log(sum(map(math.exp, Z)))
    assert losses == pytest.approx([sum(soft_plus), total - Z[0]])  # unrounded
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('<svg class="bars"') == 4
    assert "1.5829" in page
    assert "http" not in page.split("<body>")[1]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    done = lossheads(*TRAIN, "recording.predictions=true", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs"


def test_an_image_under_trained_heads(outputs: Path) -> None:
    found = explain_image([outputs], 123)
    assert [arm.arm for arm in found.arms] == ["sigmoid_bce", "softmax_cce"]
    assert [answer.seed for arm in found.arms for answer in arm.answers] == [0, 1, 0, 1]
    answer = found.arms[1].answers[0]
    saved = read_predictions(outputs / "runs" / answer.run)
    z = saved.logits[123].astype(float)
    shares = np.exp(z) / np.exp(z).sum()
    assert answer.scores == pytest.approx(shares)
    assert answer.decision == str(z.argmax())
    assert answer.log_loss == pytest.approx(-math.log(shares[saved.labels[123]]))
    assert answer.right == (z.argmax() == saved.labels[123])
    assert found.label == str(saved.labels[123])
    assert found.whole is not None
    assert found.whole.shape == (8, 8, 3)
    assert found.notes == []
    page = found.html()
    assert page.count("data:image/png;base64,") == 1
    assert page.count('<svg class="bars"') == 2


def test_data_that_have_changed_are_not_drawn(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Digits.load

    def changed(*words):
        dataset = real(*words)
        dataset.test.inputs[0] += 1
        return dataset

    monkeypatch.setattr(Digits, "load", changed)
    found = explain_image([outputs], 123)
    assert found.whole is None
    assert "changed" in found.notes[0]


def test_an_image_that_is_not_there_and_runs_on_other_data_are_refused(
    outputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(lh.UserError, match=r"0 … 354"):
        explain_image([outputs], 355)
    with pytest.raises(lh.UserError, match=r"0 … 354"):
        explain_image([outputs], 99_999_999)
    words = ["train", "dataset=synthetic_blobs", "training.steps=1", *TRAIN[2:4]]
    words.append("recording.predictions=true")
    done = lossheads(*words, f"output_dir={tmp_path}/other", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with pytest.raises(lh.UserError, match="different test examples"):
        explain_image([outputs, tmp_path / "other"], 0)


def test_runs_without_predictions_are_counted_or_refused(outputs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "outputs"
    shutil.copytree(outputs, copy)
    files = sorted(copy.glob("runs/*/predictions.npz"))
    files[0].unlink()
    assert explain_image([copy], 0).notes == ["Left out: 1 run without predictions."]
    for file in files[1:]:
        file.unlink()
    with pytest.raises(lh.UserError, match=r"4 runs without.*recording.predictions=true"):
        explain_image([copy], 0)


def test_a_run_that_cannot_be_read_is_left_out_by_name(outputs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "outputs"
    shutil.copytree(outputs, copy)
    first, second, *others = sorted(copy.glob("runs/*"))
    (first / "predictions.npz").write_bytes(b"torn")
    (second / "result.json").write_text("{")
    found = explain_image([copy], 0)
    assert len([answer for arm in found.arms for answer in arm.answers]) == len(others)
    assert str(first / "predictions.npz") in found.notes[0]
    for folder in others:
        (folder / "predictions.npz").write_bytes(b"torn")
    with pytest.raises(lh.UserError, match=r"predictions\.npz"):
        explain_image([copy], 0)


def test_a_loss_without_end_is_null_in_json(tmp_path: Path) -> None:
    """One unit with a softmax gives its one class all of the probability."""
    _, saved = kept_run(tmp_path, "single_logit_softmax_cce", blobs(classes=2))
    row = int(np.flatnonzero(saved.labels == 0)[0])
    done = lossheads("explain", f"image={row}", f"runs={tmp_path}", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["heads"][0]["answers"]
    assert answer["log_loss"] is None


def test_every_loss_is_shown_with_its_unit(tmp_path: Path) -> None:
    heads = ["softmax_cce", "linear_squared_error"]
    found = lh.explain(Z, 0, head=heads)
    units = {steps.head: steps.unit for steps in found.heads}
    assert units == {"softmax_cce": "nats", "linear_squared_error": "squares"}
    assert re.search(r"= 0\.2417 nats", str(found))
    assert re.search(r"= 0\.4867 squares", str(found))
    page = found.html()
    assert "gradient, nats per logit" in page
    assert "gradient, squares per logit" in page
    # Each unit has a scale of its own: the largest of either reaches the end, 27 % from the middle.
    assert page.count('width="27.000%"') == 2
    shown = lossheads("heads", *heads, cwd=tmp_path).stdout
    assert re.search(r"\d squares", shown)
    assert re.search(r"\d nats", shown)


def test_a_picture_is_blocks_of_two_pixels() -> None:
    image = np.zeros((1, 4, 3))
    image[0, 0] = 1
    pixels = as_pixels(image)
    assert [line.plain for line in blocks(pixels, colour=False)] == ["+++", "   "]
    assert [line.plain for line in blocks(pixels, colour=True)] == ["▀▀▀", "▀▀▀"]
    assert resized(pixels, 9).shape == (8, 6, 3)
    assert resized(pixels, 2).shape == (2, 2, 3)
    with pytest.raises(ValueError, match="no picture"):
        as_pixels(np.zeros(7))


def test_names_in_a_drawing_are_escaped_and_bars_fit() -> None:
    bars = Bars("score", ["<script>", "b[/x]\x1b"], [0.25, 1.0])
    assert "<script>" not in bars.svg
    assert "\x1b" not in "".join(bars.lines(40))
    for width in (12, 20, 40, 80):
        assert all(len(line) <= max(width, 16) for line in bars.lines(width))


def test_the_page_is_what_the_commands_print(outputs: Path, tmp_path: Path) -> None:
    ((command, output),) = re.findall(
        r"^```\n\$ lossheads ([^\n]*)\n(.*?)^```", PAGE, flags=re.M | re.S
    )
    printed = lossheads(*command.split(), cwd=tmp_path).stdout
    for piece in filter(None, output.split("…\n")):
        assert piece.strip("\n") in printed
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)
    (tmp_path / "as_printed.py").write_text(code, encoding="utf-8")
    done = python(str(tmp_path / "as_printed.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gradient" in done.stdout
    (shell,) = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.M | re.S)
    for line in shell.splitlines():
        program, *words = line.split()
        assert program == "lossheads"
        done = lossheads(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "seeds" in done.stdout
    assert (tmp_path / "image.html").is_file()
