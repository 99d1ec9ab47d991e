"""The start of both commands, on machines of every state, with stand-ins for Python and pip."""

import pytest

NEW = ["venv by python3", "pip", "run"]
WORDS = {
    "test.sh": "1 threads: -P -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "
    "--no-loadscope-reorder",
    "reproduce.sh": "any threads: -P -m lossheads claim run bce-97-vs-cce-90",
}


@pytest.mark.parametrize("script", WORDS)
def test_first_start_installs_and_every_start_runs_in_the_root(clone, script):
    ran = f"ran in {clone.root} with {WORDS[script]} seeds=1 -q\n"
    assert clone.run("seeds=1", "-q", script=script)[:2] == (0, ran)
    assert clone.calls == NEW
    (clone.root / ".venv.lock").unlink()
    assert clone.run("seeds=1", "-q", script=script, FAKE_STATUS="5") == (5, ran, "")
    assert clone.calls == ["run"]
    assert not (clone.root / ".venv.lock").exists(), "a lock costs time, and there is nothing to do"


def test_a_quick_look_at_the_puzzle_says_what_few_seeds_cannot_say(clone):
    said, ran = clone.run(script="reproduce.sh")[1].splitlines()
    assert "seeds=25" in said
    assert ran == f"ran in {clone.root} with {WORDS['reproduce.sh']} seeds=5"


def test_pins_reach_pip_and_nothing_from_elsewhere_does(clone):
    clone.run(PYTHONPATH="/elsewhere", PYTHONHOME="/elsewhere")
    folder, temporary, *others = (clone.place / "calls.pip").read_text().splitlines()
    assert (folder, temporary) == (str(clone.root), str(clone.venv))
    assert others == ["constraints.txt", "constraints.txt", "unset", "unset"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_once_into_the_same_venv(clone, name):
    clone.run()
    (clone.root / name).write_text("changed\n")
    clone.run()
    assert clone.calls == ["pip", "run"]
    clone.run()
    assert clone.calls == ["run"]


def test_requirements_changed_during_the_install_do_not_pass_for_installed(clone):
    clone.run(FAKE_PIP="echo changed >constraints.txt")
    clone.run()
    assert clone.calls == ["pip", "run"]


# --- Which Python ---------------------------------------------------------------------------------


def test_first_python_that_fits_is_taken(clone):
    clone.add_python("python3.13", "")  # a shim without a Python behind it
    clone.add_python("python3", "3.14")
    clone.add_python("python", "3.11")
    clone.run()
    assert clone.calls == ["venv by python", "pip", "run"]


def test_python_that_is_asked_for_is_taken(clone):
    clone.run()
    clone.add_python("python3.13", "3.13")
    clone.run()
    assert clone.calls == ["run"], "another Python on PATH is no reason to build anew"
    clone.run(PYTHON="python3.13")
    assert clone.calls == ["venv by python3.13", "pip", "run"]
    status, _, err = clone.run(PYTHON="nowhere")
    assert (status, clone.calls) == (2, [])
    assert "nowhere" in err


# --- When it cannot, or could not -----------------------------------------------------------------

OBSTACLES = {
    "Python too old": (lambda clone: clone.add_python("python3", "3.10"), "PYTHON="),
    "Python too new": (lambda clone: clone.add_python("python3", "3.14"), "PYTHON="),
    "no Python": (lambda clone: (clone.bin / "python3").unlink(), "PYTHON="),
    "no ensurepip": (lambda clone: {"FAKE_ENSUREPIP": "1"}, "python3-venv"),
    "somebody's .venv": (lambda clone: (clone.venv / "theirs").mkdir(parents=True), "remove"),
    "no lock": (lambda clone: (clone.root / ".venv.lock").mkdir(), "writable"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_obstacle_is_told_with_its_remedy_and_nothing_is_touched(clone, obstacle):
    prepare, remedy = OBSTACLES[obstacle]
    environment = prepare(clone) or {}
    before = list(clone.venv.rglob("*"))
    status, out, err = clone.run(**environment)
    assert (status, out, clone.calls) == (2, "", [])
    assert remedy in err.splitlines()[-1]
    assert list(clone.venv.rglob("*")) == before


def test_failed_install_shows_the_end_of_its_log_and_is_built_anew(clone):
    status, out, err = clone.run(FAKE_PIP="echo no room; exit 7")
    assert (status, out) == (2, "")
    assert "no room" in err.splitlines()[-2]
    assert str(clone.venv / "bootstrap.log") in err.splitlines()[-1]
    clone.run()
    assert clone.calls == NEW


# Ctrl-C reaches all processes of a terminal, and pip answers it with an ordinary exit.
@pytest.mark.parametrize("cut", ["kill -KILL 0", "trap 'exit 1' INT; kill -INT 0"])
def test_install_that_was_cut_short_is_built_anew(clone, cut):
    clone.run(FAKE_PIP=f"touch .venv/half-copied; {cut}")
    assert clone.calls == ["venv by python3", "pip"]
    clone.run()
    assert clone.calls == NEW
    assert not (clone.venv / "half-copied").exists()


def test_update_that_was_cut_short_is_built_anew(clone):
    clone.run()
    (clone.root / "constraints.txt").write_text("changed\n")
    clone.run(FAKE_PIP="kill -KILL 0")
    clone.run()
    assert clone.calls == NEW


def test_venv_whose_python_left_the_machine_is_built_anew(clone):
    clone.run()
    (clone.venv / "bin" / "python").unlink()
    clone.run(PYTHON="python3")
    assert clone.calls == NEW


def test_moved_clone_is_built_anew(clone):
    clone.run()
    clone.root = clone.root.rename(clone.place / "moved clone")
    clone.run()
    assert clone.calls == NEW


def test_second_of_two_starts_waits_and_installs_nothing(clone):
    go = clone.place / "go"
    first = clone.start(FAKE_PIP=f"for _ in {{1..500}}; do [ -e '{go}' ] || sleep 0.02; done")
    assert "installing" in first.stderr.readline()
    second = clone.start()
    said = second.stderr.readline()
    go.touch()
    for process in (first, second):
        process.communicate(timeout=20)
    assert "waiting" in said
    assert sorted(clone.calls) == sorted([*NEW, "run"])
