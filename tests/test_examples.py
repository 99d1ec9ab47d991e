"""The examples, and the files and commands of docs/extend.md, do what they say."""

import ast
import json
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lossheads as lh
from lossheads.cli.main import run

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
EXTEND = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


def lossheads(line: str, *more: str) -> int:
    """A command as printed, in this process: importing torch anew would take seconds."""
    program, *words = shlex.split(line)
    assert program == "lossheads", line
    return run([*words, *more])


def test_plain_loop(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "plain_loop.py"), run_name="__main__")
    said = re.findall(r"Keras 2\.3 would have printed (\S+).*?; (\S+) of", capsys.readouterr().out)
    (softmax_printed, softmax), (sigmoid_printed, sigmoid) = (map(float, pair) for pair in said)
    assert softmax_printed == softmax > 0.9
    assert sigmoid_printed > 0.98 > sigmoid > 0.9


@pytest.mark.filterwarnings("ignore")  # Lightning's own, about workers and old functions
def test_lightning_module(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lightning")
    runpy.run_path(str(EXAMPLES / "lightning_module.py"), run_name="__main__")
    printed = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    assert printed["val/accuracy_score"] > 0.9
    assert printed["val/nll_loss"] > 0


def test_notebook() -> None:
    cells = json.loads((EXAMPLES / "predictions.ipynb").read_text(encoding="utf-8"))["cells"]
    namespace: dict[str, Any] = {}
    shown: list[Any] = []
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []  # what a machine printed once is not what this one prints
            shown.append(_run_cell("".join(cell["source"]), namespace))
    *_, report, frame, interval = shown
    assert "<table>" in report._repr_html_()
    assert frame.loc["keras_2_3_accuracy", "baseline"] == pytest.approx(0.9)
    assert frame.loc["keras_2_3_accuracy", "skill"] < 0
    low, high = interval
    assert low < frame.loc["accuracy_score", "value"] < high


def _run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Like a notebook: the value of the last line, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), namespace)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)


def test_own_head_by_its_printed_command_and_from_python(folder: Path) -> None:
    shutil.copytree(EXAMPLES / "own_head", folder, dirs_exist_ok=True)
    (line,) = set(
        re.findall(r"`(lossheads claim run [^`]*)`", (EXAMPLES / "README.md").read_text())
    )
    assert line in (folder / "label-smoothing.yaml").read_text(encoding="utf-8")
    assert lossheads(line, "seeds=2") == 0
    page = (folder / "outputs" / "claims" / "label-smoothing" / "verdict.md").read_text()
    assert "--config-dir my_configs --trust my_heads" in page  # the command that repeats it
    verdict = lh.run_claim(
        "label-smoothing.yaml", seeds=2, config_dirs=["my_configs"], trust=["my_heads"]
    )
    assert verdict.seeds == (0, 1)
    assert not verdict.failed
    assert len(list((folder / "outputs" / "runs").iterdir())) == 4  # none was trained again


def test_readme_of_the_examples_names_every_file() -> None:
    named = set(re.findall(r"^\| `([^`]+)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert named == {
        f"{path.name}/" if path.is_dir() else path.name
        for path in EXAMPLES.iterdir()
        if path.name not in ("README.md", "__pycache__")
    }


FILES = re.findall(r"^`([\w./-]+\.\w+)`:\n\n```\w+\n(.*?)```", EXTEND, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", EXTEND, re.DOTALL)
            for line in block.splitlines()]  # fmt: skip


def test_every_fence_of_the_page_is_a_named_file_or_commands() -> None:
    fences = len(re.findall(r"^```\w+$", EXTEND, re.MULTILINE))
    assert fences == len(FILES) + len(re.findall(r"^```sh$", EXTEND, re.MULTILINE))


def test_what_the_page_on_extending_shows_works(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    tried = ""
    for line in COMMANDS:
        if line.startswith("python "):
            runpy.run_path(line.removeprefix("python "), run_name="__main__")
            continue
        tiny = {"train": ["training.steps=20"], "claim": ["seeds=2"]}
        assert lossheads(line, *tiny.get(line.split()[1], [])) == 0, line
        tried += line
    for name, _ in FILES:
        plugged = Path(name).stem
        assert plugged in tried or name == "make_data.py", f"no command of the page uses {name}"
    assert "complete_label_error" in capsys.readouterr().out


def test_files_named_by_the_page_exist() -> None:
    named = re.findall(
        r"`((?:cli|runs|heads|metrics|loggers|datasets|api|examples)/[\w/.]*)`", EXTEND
    )
    assert len(named) > 10
    for name in named:
        if name != "cli/NAME.py":
            assert (ROOT / "src" / "lossheads" / name).exists() or (ROOT / name).exists(), name
