"""The start of both commands, on machines of every state, with stand-ins for Python, pip and uv."""

import subprocess

import pytest

# What test.sh asks of Python, before the arguments it was given.
PYTEST = "-P -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile"

UV = """#!/usr/bin/env bash
printf 'uv: %s\\n' "$*" >>"$CALLS"
exit "${FAKE_UV_STATUS:-0}"
"""


# --- A machine as it should be --------------------------------------------------------------------


def test_first_start_installs_then_runs_the_tests_in_the_root(clone):
    status, out, err = clone.run("tests/heads", "-q")
    assert status == 0, err
    assert out == f"ran in {clone.root} with 1 threads: {PYTEST} tests/heads -q\n"
    assert [clone.count("-m venv"), clone.count("-m pip install"), clone.count("-m pytest")] == [
        1,
        1,
        1,
    ]
    assert not (clone.venv / "tmp").exists()


def test_reproduce_runs_the_puzzle_with_what_it_was_given(clone):
    status, out, _ = clone.run("seeds=1", "device=cpu", script="reproduce.sh")
    assert status == 0
    assert out == (
        f"ran in {clone.root} with any threads: "
        "-P -m lossheads claim run bce-97-vs-cce-90 seeds=1 device=cpu\n"
    )


def test_exit_status_of_the_tests_is_the_exit_status_of_the_script(clone):
    clone.run()
    (clone.venv / "bin" / "python").write_text('#!/bin/sh\n[ "$2" = -m ] && exit 5\necho 3.12\n')
    assert clone.run()[0] == 5


def test_number_of_threads_can_be_asked_for(clone):
    assert "with 2 threads" in clone.run(OMP_NUM_THREADS="2")[1]


def test_cdpath_does_not_lead_to_another_clone(clone):
    (clone.place / "other" / "scripts").mkdir(parents=True)
    ran = subprocess.run(
        ["bash", "scripts/test.sh"],
        cwd=clone.root,
        env={
            "PATH": str(clone.bin),
            "CALLS": str(clone.calls_file),
            "CDPATH": str(clone.place / "other"),
        },
        capture_output=True,
        text=True,
    )
    assert ran.stdout.startswith(f"ran in {clone.root} "), ran.stderr


def test_second_start_does_nothing_but_run(clone):
    clone.run()
    status, _, err = clone.run("-q")
    assert (status, err) == (0, "")
    assert clone.calls == [f"python: {PYTEST} -q"]


def test_pins_reach_pip_as_a_path_without_spaces(clone):
    clone.run(PIP_CONSTRAINT="mine.txt", PYTHONPATH="/elsewhere")
    folder, constraints, temporary, python_path = (
        (clone.place / "calls.pip").read_text().splitlines()
    )
    assert (folder, constraints) == (str(clone.root), "constraints.txt mine.txt")
    assert temporary == f"{clone.venv}/tmp"
    assert python_path == "unset"


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_venv(clone, name):
    clone.run()
    (clone.venv / "kept").touch()
    with (clone.root / name).open("a") as file:
        file.write("# changed\n")
    assert clone.run()[0] == 0
    assert [clone.count("-m venv"), clone.count("-m pip install")] == [0, 1]
    assert (clone.venv / "kept").exists()
    clone.run()
    assert clone.count("-m pip install") == 0


# --- Which Python ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("2.7", "too old"),
        ("3.9", "too old"),
        ("3.10", "too old"),
        ("3.14", "too new"),
        ("4.0", "too new"),
    ],
)
def test_unfit_python_is_refused_in_one_sentence_and_nothing_is_written(clone, version, verdict):
    clone.add_python("python3", version)
    status, out, err = clone.run()
    assert (status, out) == (2, "")
    assert err == (
        f"bootstrap: needs Python 3.11, 3.12 or 3.13, found python3 (Python {version}: {verdict}): "
        "install one of these, or name it with PYTHON=/path/to/python\n"
    )
    assert not clone.venv.exists()


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_python_that_fits_is_taken(clone, version):
    clone.add_python("python3", version)
    assert clone.run()[0] == 0


def test_machine_without_python_is_told_so(clone):
    (clone.bin / "python3").unlink()
    status, _, err = clone.run()
    assert status == 2
    assert "needs Python 3.11, 3.12 or 3.13, found no Python at all: install" in err


def test_python_without_venv_is_refused_with_the_package_to_install(clone):
    status, out, err = clone.run(FAKE_BARE="1")
    assert (status, out) == (2, "")
    assert err == (
        "bootstrap: found python3 (Python 3.12) without its venv module, which makes .venv: "
        "install it (Debian and Ubuntu: apt-get install python3-venv) and start again\n"
    )
    assert not clone.venv.exists()


def test_shims_and_unfit_pythons_are_passed_over(clone):
    clone.add_command("python3.13", "#!/bin/sh\necho 'python3.13: not installed' >&2; exit 127\n")
    clone.add_python("python3", "3.14")
    clone.add_python("python", "3.11")
    status, _, err = clone.run()
    assert status == 0, err
    assert "not installed" not in err
    assert clone.calls[1].startswith("python: -m venv")


def test_python_variable_is_obeyed(clone):
    clone.add_python("special", "3.11")
    assert clone.run(PYTHON="special")[0] == 0
    assert clone.calls[1].startswith("special: -m venv")


@pytest.mark.parametrize(
    ("asked", "reason"), [("python3.9", "(Python 3.9: too old)"), ("nowhere", "(does not run)")]
)
def test_unfit_python_variable_is_refused_although_another_python_fits(clone, asked, reason):
    clone.add_python("python3.9", "3.9")
    status, _, err = clone.run(PYTHON=asked)
    assert status == 2
    assert f"found {asked} {reason}: install" in err


def test_asking_for_another_python_builds_anew(clone):
    clone.run()
    clone.add_python("python3.11", "3.11")
    clone.run()
    assert clone.count("-m venv") == 0, "a new Python on PATH is no reason"
    status, _, err = clone.run(PYTHON="python3.11")
    assert status == 0
    assert "building .venv anew" in err
    assert clone.count("python3.11: -m venv") == 1


def test_venv_whose_python_left_the_machine_is_built_anew(clone):
    clone.run()
    (clone.venv / "bin" / "python").unlink()
    (clone.venv / "bin" / "python").symlink_to(clone.place / "gone")
    assert clone.run()[0] == 0
    assert clone.count("-m venv") == 1


# --- uv -------------------------------------------------------------------------------------------


def test_uv_installs_when_it_is_there(clone):
    clone.add_command("uv", UV)
    assert clone.run()[0] == 0
    assert [clone.count("uv: pip install"), clone.count("-m pip install")] == [1, 0]
    assert clone.count("--constraints constraints.txt --build-constraints constraints.txt") == 1


def test_pip_takes_over_when_uv_fails(clone):
    clone.add_command("uv", UV)
    status, _, err = clone.run(FAKE_UV_STATUS="2")
    assert status == 0
    assert [clone.count("uv: pip install"), clone.count("-m pip install")] == [1, 1]
    assert "uv did not manage" in err
    clone.run()
    assert clone.calls == [f"python: {PYTEST}"]
