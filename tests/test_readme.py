"""README tells the truth: its commands run, its numbers are those of the reference run."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from calling import lossheads, python

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Run by other means: the scripts install or run this very suite.
ELSEWHERE = {"./scripts/reproduce.sh", "./scripts/test.sh"}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def python_with(words: str) -> str:
    (found,) = (block for block in blocks("python") if words in block)
    return found


def test_every_command_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "my_heads.py").write_text(python_with("SmoothedCCE"), encoding="utf-8")
    head = tmp_path / "my_configs" / "head" / "smoothed_cce.yaml"
    head.parent.mkdir(parents=True)
    head.write_text(blocks("yaml")[0], encoding="utf-8")
    shutil.copy(ROOT / "examples" / "own_head" / "label-smoothing.yaml", tmp_path)
    ran = 0
    for line in commands():
        program, *words = shlex.split(line)
        if program in ELSEWHERE:
            assert (ROOT / program).is_file()
            continue
        assert program == "lossheads", line
        done = lossheads(*words, cwd=tmp_path, seconds=240)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        ran += 1
    assert ran >= 6
    check = python_with("weights.pt") + "\nassert net(torch.zeros(2, 1, 8, 8)).shape == (2, 10)"
    (tmp_path / "check.py").write_text(check, encoding="utf-8")
    done = python(str(tmp_path / "check.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_python_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "as_printed.py").write_text(python_with("lh.evaluate"), encoding="utf-8")
    done = python(str(tmp_path / "as_printed.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "keras_2_3_accuracy" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("reproduced")


def test_numbers_are_those_of_the_reference_run() -> None:
    checked = python(str(ROOT / "scripts" / "readme.py"), "--check", cwd=ROOT)
    assert checked.returncode == 0, "run: python scripts/readme.py"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_linked_files_exist(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()


@pytest.mark.parametrize("name", re.findall(r"`(configs/[^`]*|docs/[^`]*|scripts/[^`]*)`", README))
def test_named_files_exist(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_head_has_at_most_twelve_lines_of_code() -> None:
    lines = [line for line in python_with("SmoothedCCE").splitlines() if line.strip()]
    assert len(lines) <= 12
