"""The start of both commands after failures, cuts and moves, and when two start at once."""

import os
import shutil
import subprocess
import time

import pytest

# What test.sh asks of Python, before the arguments it was given.
PYTEST = "-P -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile"


def wait_for(happened, seconds=10.0):
    """Poll; a fixed sleep would be too short on a busy machine and too long on an idle one."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- When it goes wrong ---------------------------------------------------------------------------


def test_failed_install_names_step_and_log_and_is_resumed(clone):
    status, out, err = clone.run(FAKE_PIP_FAILS="1")
    log = clone.venv / "bootstrap.log"
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == (
        "bootstrap: could not install the packages of constraints.txt with pip (exit status 7): "
        f"the log is {log}; mend the cause and start the same command again"
    )
    assert "    pip: no such version" in err
    assert "pip: no such version" in log.read_text()
    status, out, _ = clone.run()
    assert (status, "pytest" in out) == (0, True)
    assert [clone.count("-m venv"), clone.count("-m pip install")] == [0, 1]


def test_failed_venv_is_named_and_made_again(clone):
    status, _, err = clone.run(FAKE_VENV_FAILS="1")
    assert status == 2
    assert "could not make the virtual environment with python3 -m venv (exit status 1)" in err
    assert clone.run()[0] == 0


def test_packages_that_do_not_import_are_installed_from_scratch(clone):
    status, _, err = clone.run(FAKE_IMPORT_FAILS="1")
    assert status == 2
    assert "could not import what was installed" in err
    assert clone.run()[0] == 0
    assert clone.count("-m venv") == 1


def test_failed_update_does_not_pass_for_the_old_state(clone):
    clone.run()
    before = (clone.root / "constraints.txt").read_text()
    (clone.root / "constraints.txt").write_text("torch==2.0\n")
    assert clone.run(FAKE_PIP_FAILS="1")[0] == 2
    (clone.root / "constraints.txt").write_text(before)
    clone.run()
    assert clone.count("-m pip install") == 1


def test_killed_install_is_built_anew(clone):
    assert clone.run(FAKE_PIP_SIGNAL="KILL")[0] == -9
    assert (clone.venv / "bin" / "installing").exists()
    status, _, err = clone.run(FAKE_PIP_FAILS="")
    assert status == 0
    assert "building .venv anew: the one there was cut short" in err
    assert clone.count("-m venv") == 1


def test_killed_update_is_built_anew(clone):
    clone.run()
    (clone.root / "constraints.txt").write_text("torch==2.0\n")
    assert clone.run(FAKE_PIP_SIGNAL="KILL")[0] == -9
    clone.run()
    assert [clone.count("-m venv"), clone.count("-m pip install")] == [1, 1]


def test_interrupted_install_says_so_and_is_built_anew(clone):
    status, _, err = clone.run(FAKE_PIP_SIGNAL="INT")
    assert status == 130
    assert err.splitlines()[-1] == "bootstrap: interrupted; the next start builds .venv anew"
    clone.run()
    assert clone.count("-m venv") == 1


def test_file_edited_during_the_install_does_not_pass_for_installed(clone):
    go = clone.place / "go"
    first = clone.start(FAKE_PIP_WAITS_FOR=str(go))
    wait_for((clone.venv / "bin" / "installing").exists)
    (clone.root / "constraints.txt").write_text("torch==2.0\n")
    go.touch()
    assert first.wait(10) == 0
    first.communicate()
    clone.run()
    assert clone.count("-m pip install") == 1


def test_place_that_cannot_be_written_is_refused_in_one_sentence(clone):
    (clone.root / ".venv.lock").mkdir()
    status, _, err = clone.run()
    assert status == 2
    assert err == f"bootstrap: cannot write {clone.root}/.venv.lock: mend its permissions\n"


# --- Two at once ----------------------------------------------------------------------------------


def test_second_of_two_starts_waits_and_installs_nothing(clone):
    go = clone.place / "go"
    first = clone.start(FAKE_PIP_WAITS_FOR=str(go))
    wait_for((clone.venv / "bin" / "installing").exists)
    second = clone.start(FAKE_PIP_WAITS_FOR=str(go))
    said = second.stderr.readline()
    assert said == "bootstrap: another start is installing into .venv; waiting for it\n"
    time.sleep(0.2)  # time enough to do what it must not: begin an installation of its own
    assert second.poll() is None
    assert clone.count("-m venv") == 1
    go.touch()
    for process in (first, second):
        out, err = process.communicate(timeout=10)
        assert (process.returncode, "pytest" in out) == (0, True), err
    assert clone.count("-m pip install") == 1


def test_lock_goes_with_its_holder(clone):
    first = clone.start(FAKE_PIP_WAITS_FOR=str(clone.place / "never"))
    wait_for((clone.venv / "bin" / "installing").exists)
    os.killpg(first.pid, 9)
    first.communicate()
    status, _, err = clone.run()
    assert status == 0
    assert "waiting" not in err


def test_program_that_is_run_does_not_hold_the_lock(clone):
    text = (clone.bin / "python3").read_text()
    clone.add_command("python3", text.replace("*) printf 'ran", "*) : >&9; printf 'ran"))
    status, _, err = clone.run()
    assert "Bad file descriptor" in err, status


# --- A .venv from elsewhere -----------------------------------------------------------------------


def test_moved_clone_is_built_anew(clone):
    clone.run()
    (clone.venv / "old").touch()
    moved = clone.place / "moved clone"
    clone.root.rename(moved)
    clone.root = moved
    status, out, err = clone.run()
    assert status == 0
    assert f"ran in {moved} " in out
    assert "building .venv anew" in err
    assert clone.count("-m venv") == 1
    assert not (clone.venv / "old").exists()


def make_by_hand(clone, python, place):
    environment = {"PATH": str(clone.bin), "CALLS": str(clone.calls_file)}
    subprocess.run([python, "-m", "venv", place], env=environment, check=True)


def test_venv_made_by_hand_is_taken_over(clone):
    make_by_hand(clone, clone.bin / "python3", clone.venv)
    assert clone.run()[0] == 0
    assert [clone.count("-m venv"), clone.count("-m pip install")] == [0, 1]
    clone.run()
    assert clone.calls == [f"python: {PYTEST}"]


@pytest.mark.parametrize("fault", ["of another place", "of an unfit Python"])
def test_venv_made_by_hand_that_does_not_serve_is_refused_and_left_alone(clone, fault):
    if fault == "of another place":
        make_by_hand(clone, clone.bin / "python3", clone.place / "theirs")
        shutil.copytree(clone.place / "theirs", clone.venv)
    else:
        make_by_hand(clone, clone.add_python("python3.14", "3.14"), clone.venv)
    before = sorted(clone.venv.rglob("*"))
    status, _, err = clone.run()
    assert status == 2
    assert err == (
        f"bootstrap: cannot use {clone.venv} and did not make it: "
        "remove it or move it away, then start again\n"
    )
    assert sorted(clone.venv.rglob("*")) == before


def test_venv_that_is_a_link_to_another_disk_stays_a_link(clone):
    (clone.place / "disk").mkdir()
    clone.venv.symlink_to(clone.place / "disk")
    clone.run(FAKE_IMPORT_FAILS="1")
    assert clone.run()[0] == 0
    assert clone.count("-m venv") == 1
    assert clone.venv.is_symlink()
