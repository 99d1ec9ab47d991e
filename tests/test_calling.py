"""What the tests of the command line rest on: each call is a process of its own, forked or not."""

import signal
from pathlib import Path

import pytest

from calling import lossheads


def status_and_output(folder: Path, code: str, seconds: int = 60) -> tuple[int, str, str]:
    """Of a call that imports `mine`, a module of `folder` that holds `code`."""
    head = folder / "configs" / "head" / "own.yaml"
    head.parent.mkdir(parents=True)
    head.write_text("_target_: mine.Mine\n_partial_: true\n")
    (folder / "mine.py").write_text(code)
    words = ["train", "--config-dir", "configs", "head=own", "dataset=digits", "trust=[mine]"]
    done = lossheads(*words, cwd=folder, env={"ASKED_IN": folder.name}, seconds=seconds)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["a", "b"])
def test_folder_environment_and_modules_are_those_of_the_call(tmp_path: Path, name: str) -> None:
    code = (
        "import os, sys, torch, lossheads.errors\n"
        "print(os.getcwd(), os.environ['ASKED_IN'], sys.argv[-1], hasattr(torch, 'left'))\n"
        f"torch.left = signal = lossheads.errors.UserError('sentence of {name}')\n"
        "raise signal\n"
    )
    status, out, err = status_and_output(tmp_path / name, code)
    assert out == f"{tmp_path / name} {name} trust=[mine] False\n"
    assert f"sentence of {name}" in err
    assert status == 2


@pytest.mark.parametrize(
    ("code", "seconds", "status"),
    [
        ("import os; os._exit(7)", 60, 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 60, -signal.SIGSEGV),
        ("import time; time.sleep(60)", 1, -signal.SIGALRM),
    ],
    ids=["its own end", "a crash", "too long"],
)
def test_how_a_call_ended_is_told(tmp_path: Path, code: str, seconds: int, status: int) -> None:
    assert status_and_output(tmp_path, code, seconds)[0] == status
