"""A stranger's YAML, handed to the command line as a claim file or a --config-dir, runs nothing.

Each file would touch a trap if what it names were called, imported or interpolated into a shell.
"""

import subprocess
from pathlib import Path

import pytest

from calling import lossheads

from .making import CLAIM

SPRING = "import pathlib; pathlib.Path({trap!r}).touch()\n"

# One folder below --config-dir each: group, what the file holds, the words that choose it.
CONFIGS = [
    ("head", "_target_: os.system\ncommand: touch {trap}\n"),
    ("head", "_target_: lossheads.heads.base.os.system\ncommand: touch {trap}\n"),
    ("head", "_target_: trapped.Head\n"),
    (
        "head",
        "_target_: lossheads.heads.Focal\ngamma: {{_target_: os.system, _args_: [touch {trap}]}}\n",
    ),
    ("head", "_target_: !!python/object/apply:os.system ['touch {trap}']\n"),
    ("dataset", "_target_: builtins.exec\n_args_: [\"open('{trap}', 'w')\"]\n"),
    ("optimizer", "_target_: torch.hub.load\n_partial_: true\nrepo_or_dir: .\nsource: local\n"),
    (
        "experiment",
        "# @package _global_\ntrust: [os]\nhead: {{_target_: os.system, command: touch {trap}}}\n",
    ),
    (
        "experiment",
        "# @package _global_\nhydra:\n  callbacks:\n    evil:\n"
        "      {{_target_: os.system, command: touch {trap}}}\n",
    ),
    (
        "experiment",
        "# @package _global_\nhydra:\n  job_logging:\n    version: 1\n    handlers:\n"
        "      evil: {{(): os.system, command: touch {trap}}}\n    root: {{handlers: [evil]}}\n",
    ),
    ("experiment", "# @package _global_\nhydra:\n  launcher: {{_target_: trapped.Launcher}}\n"),
]


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command line, standing in a folder that also holds a module with a trap."""
    return lossheads(*words, "device=cpu", f"output_dir={folder / 'out'}", cwd=folder)


def trapped(folder: Path) -> Path:
    trap = folder / "trap"
    (folder / "trapped.py").write_text(SPRING.format(trap=str(trap)), encoding="utf-8")
    return trap


@pytest.mark.parametrize(("group", "text"), CONFIGS, ids=[text[-50:] for _, text in CONFIGS])
def test_a_hostile_config_folder_executes_nothing(tmp_path: Path, group: str, text: str) -> None:
    trap = trapped(tmp_path)
    path = tmp_path / "theirs" / group / "evil.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text.format(trap=trap), encoding="utf-8")
    small = ["model=linear", "training.steps=1"] + ["dataset=digits"] * (group != "dataset")
    small += ["-m"] * ("launcher" in text)  # a launcher is built for a sweep alone
    done = call(tmp_path, "train", "--config-dir", "theirs", f"{group}=evil", *small)
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not trap.exists()
    assert not (tmp_path / "out" / "runs").exists()


CLAIMS = [
    ("head: sigmoid_bce", "head._target_: trapped.Head"),
    ("head: sigmoid_bce", "head: {_target_: os.system, command: touch TRAP}"),
    ("head: sigmoid_bce", "+trust: [os]"),
    ("{head: sigmoid_bce}", "!!python/object/apply:os.system ['touch TRAP']"),
    ("says: A is", "says: !!python/object/apply:os.system ['touch TRAP'] # A is"),
    ("sigmoid_bce", '"${oc.env:HOME}"'),
    ("sigmoid_bce", "\"x trust=[os] 'head._target_=os.system'\""),
    ("seeds: 4", "seeds: 2\nchecks: {c: {compute: os.system, of: [x], printed: '0'}}"),
]


@pytest.mark.parametrize(("old", "new"), CLAIMS, ids=[new[:40] for _, new in CLAIMS])
def test_a_hostile_claim_file_executes_nothing(tmp_path: Path, old: str, new: str) -> None:
    trap = trapped(tmp_path)
    assert old in CLAIM
    path = tmp_path / "a-claim.yaml"
    path.write_text(CLAIM.replace(old, new.replace("TRAP", str(trap))), encoding="utf-8")
    done = call(tmp_path, "claim", "run", "a-claim.yaml")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("lossheads: a-claim.yaml, line ")
    assert not trap.exists()
    assert not (tmp_path / "out").exists()


def test_the_trap_springs_when_its_package_is_trusted(tmp_path: Path) -> None:
    # Without this the tests above could pass because no trap is one.
    trap = trapped(tmp_path)
    path = tmp_path / "theirs" / "head" / "evil.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("_target_: trapped.Head\n", encoding="utf-8")
    words = ["--config-dir", "theirs", "head=evil", "dataset=digits", "trust=[trapped]"]
    call(tmp_path, "train", *words)
    assert trap.exists()
