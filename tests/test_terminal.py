"""What stands on a terminal while runs train and when they are done, at several sizes."""

import io
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pyte", reason="pyte reads the screen: pip install 'lossheads[terminal]'")

import pyte

from calling import lossheads
from lossheads.analysis.terminal import PlainConsole
from lossheads.loggers.progress import Reporter
from screens import COLOUR, Screen

TINY = ["dataset=digits", "model.hidden=[16]", "recording.tensorboard=false", "device.threads=1"]
SWEEP = [*TINY, "-m", "head=softmax_cce,sigmoid_bce", "seed=0,1", "optimizer.lr=0,0.01"]
LONG = [*SWEEP, "training.steps=200000"]
SHORT = [*SWEEP, "training.steps=60"]
BAR = re.compile("[━╸╺]")
LINE = re.compile(
    r"(?P<arm>\w+, lr=[\d.]+) +[━╸╺]+ +(?P<share>\d+)% +(?P<value>[\d.]+) +\d+(:\d\d)+ left$"
)


def arms_on(lines: list[str]) -> dict[str, re.Match[str]]:
    """Arm -> its line, of those that have all five parts."""
    found = [match for line in lines if (match := LINE.match(line))]
    return {match["arm"]: match for match in found}


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_each_head_and_rate_has_its_line_and_ctrl_c_takes_all_of_them_away(
    columns: int, rows: int, tmp_path: Path
) -> None:
    def at_work(lines: list[str]) -> bool:
        arms = arms_on(lines)
        return len(arms) == 4 and all(
            (float(match["value"]) > 0.7) == arm.endswith("=0.01") for arm, match in arms.items()
        )

    with Screen("train", *LONG, cwd=tmp_path, columns=columns, rows=rows) as screen:
        lines = screen.until(at_work)  # rates that learn nothing are not averaged with the others
        assert lines[0] == "accuracy_score on validation, mean over seeds"
        assert len(lines) == 5
        assert all(len(BAR.findall(line)) >= 10 for line in lines[1:])
        screen.type(b"\x03")
        left = screen.end()
        assert screen.process.returncode == 130
        assert not screen.screen.cursor.hidden
    assert left[0].startswith("lossheads: interrupted")
    assert len(left) <= 2
    assert not BAR.search("".join(left))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which SHORT is finished: to call it again needs no torch."""
    folder = tmp_path_factory.mktemp("finished")
    assert lossheads("train", *SHORT, cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_a_sweep_ends_with_an_answer(columns: int, rows: int, finished: Path) -> None:
    with Screen("train", *SHORT, cwd=finished, columns=columns, rows=rows) as screen:
        lines = screen.end()
        assert screen.process.returncode == 0
        assert COLOUR.search(screen.written)
    assert len(lines) <= 12
    assert all(len(line) < columns for line in lines)
    text = "\n".join(lines)
    spread = r"(?:± 0\.\d{4}|\[0.*, [01].*\])"
    assert re.search(rf"softmax_cce \(n = 2\) +0\.\d{{4}} {spread} +lr=0\.01, best of 2", text)
    assert re.search(r"sigmoid_bce - softmax_cce: -?0\.\d{4} \[.*\], 95 %, n = 2 seeds", text)
    assert "as a page: outputs/sweep.html" in text
    assert (finished / "outputs/sweep.html").is_file()
    assert lines[-1] == "8 runs in outputs/runs; to see more: lossheads board outputs"
    assert "nll_loss" not in text


def test_the_answer_says_what_the_json_says(finished: Path) -> None:
    shown = lossheads("train", *SHORT, cwd=finished)
    done = lossheads("train", *SHORT, "--json", cwd=finished)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)["comparisons"]
    (difference,) = found["differences"]
    by_seed = [candidate["by_seed"] for candidate in found["candidates"]]
    deltas = [by_seed[1][seed] - by_seed[0][seed] for seed in ("0", "1")]
    assert difference["interval"]["mean"] == pytest.approx(sum(deltas) / 2)
    half = 12.706 * abs(deltas[0] - deltas[1]) / 2  # t quantile of 1 degree of freedom
    assert difference["interval"]["high"] == pytest.approx(min(1, sum(deltas) / 2 + half), rel=1e-3)
    assert difference["conclusion"] in shown.stdout
    assert {run["status"] for run in json.loads(done.stdout)["runs"]} == {"finished"}


def test_all_brings_every_metric_and_quiet_the_last_line_alone(finished: Path) -> None:
    assert "brier_sum_loss" in lossheads("train", *SHORT, "--all", cwd=finished).stdout
    with Screen("train", *SHORT, "--quiet", cwd=finished) as screen:
        assert screen.end() == ["8 runs in outputs/runs; to see more: lossheads board outputs"]
        assert b"\r\x1b[K" not in screen.written  # no waiting line either


def test_quiet_says_nothing_while_it_trains_but_for_errors(tmp_path: Path) -> None:
    done = lossheads("train", *TINY, "training.steps=5", "--quiet", cwd=tmp_path)
    assert (done.stderr, done.stdout.count("\n")) == ("", 1)
    refused = lossheads("train", *TINY, "--quiet", "--json", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--quiet and --json" in refused.stderr


def test_no_color_is_honoured_and_a_pipe_gets_none(finished: Path) -> None:
    with Screen("train", *SHORT, cwd=finished, NO_COLOR="1") as screen:
        assert "undecided" in "\n".join(screen.end())
        assert not COLOUR.search(screen.written)
    assert "\x1b" not in lossheads("train", *SHORT, cwd=finished).stdout


def test_twenty_columns_still_tell_it(finished: Path) -> None:
    with Screen("train", *SHORT, cwd=finished, columns=20, rows=40) as screen:
        text = " ".join(" ".join(screen.end()).split())
        assert screen.process.returncode == 0
    assert "softmax_cce (n = 2): 0." in text
    assert "…" not in text


def drawn(columns: int, rows: int, arms: int) -> list[str]:
    """The screen of a reporter in the middle of so many arms."""
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=columns, height=rows)
    screen = pyte.Screen(columns, rows)
    with Reporter(console) as reporter:
        runs = {f"run-{at}": f"a_head_with_a_name, lr=0.{at:03}" for at in range(arms)}
        reporter.expect(runs)
        for at, run in enumerate(runs):
            if at % 2:
                progress = reporter.cohort("digits", [run], 10, "accuracy_score")
                progress.on_validation(5, 1.0, [at / 1000])
        reporter.refresh()
        pyte.Stream(screen).feed(file.getvalue().replace("\n", "\r\n"))
    return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (40, 8), (20, 5)])
@pytest.mark.parametrize("arms", [2, 60])
def test_lines_fit_the_screen_and_those_at_work_come_first(
    columns: int, rows: int, arms: int
) -> None:
    lines = drawn(columns, rows, arms)
    assert len(lines) < rows
    shown = [line for line in lines if "%" in line]
    half = [line for line in shown if " 50%" in line]
    assert len(half) == min(arms // 2, len(shown))
    if arms > rows:
        assert re.search(r"^… \d+ more", lines[-1])
        assert len(shown) >= max(1, rows - 5)


def test_an_arm_is_over_when_its_runs_are_however_early() -> None:
    file = io.StringIO()
    with Reporter(PlainConsole(file=file, force_terminal=True, width=80, height=24)) as reporter:
        reporter.expect({"a": "one", "b": "one"})
        progress = reporter.cohort("digits", ["a", "b"], 100, "accuracy_score")
        progress.at_step(50)
        reporter.ended("a")  # stopped early: its steps are no longer waited for
        progress.at_step(50)
        reporter.refresh()
    assert " 75%" in file.getvalue()


def test_what_is_piped_names_each_arm_with_its_own_mean() -> None:
    file = io.StringIO()
    with Reporter(PlainConsole(file=file, width=200)) as reporter:
        reporter.expect({"a": "softmax_cce", "b": "sigmoid_bce", "c": "softmax_cce"})
        progress = reporter.cohort("digits", ["a", "b", "c"], 100, "accuracy_score")
        progress.on_validation(50, 1.0, [0.25, 0.5, 0.75])
    assert file.getvalue().splitlines()[-1].endswith("softmax_cce 0.5000, sigmoid_bce 0.5000")
