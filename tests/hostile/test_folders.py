"""Folders that hold more than files: links, pipes, circles; and other ways in than `train`."""

import os
from pathlib import Path

import pytest

import lossheads
from calling import python
from lossheads.errors import UserError

from .making import BASE, GLOBAL, SECRET, attack, call, strangers

FOCAL = "_target_: lossheads.heads.Focal\n_partial_: true\ngamma: 2\nalpha: null\n"
FOCAL += "class_reduction: sum\n"


def own(folder: Path) -> Path:
    theirs = folder / "work" / "theirs"
    (theirs / "head").mkdir(parents=True)
    return theirs


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private.yaml").write_text(f"password: {SECRET}\n")
    (own(tmp_path) / "head" / "evil.yaml").symlink_to(tmp_path / "private.yaml")
    attack(tmp_path, {}, ["head=evil"]).assert_refused("evil.yaml", "link")


def test_a_link_to_a_device_is_no_file(tmp_path: Path) -> None:
    (own(tmp_path) / "head" / "evil.yaml").symlink_to("/dev/zero")
    attack(tmp_path, {}, ["head=evil"]).assert_refused("evil")


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(own(tmp_path) / "head" / "evil.yaml")
    attack(tmp_path, {}, ["head=evil"]).assert_refused("evil")


def test_a_folder_behind_a_link_is_no_group(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x.yaml").write_text(FOCAL)
    (own(tmp_path) / "head" / "sub").symlink_to(tmp_path / "private")
    attack(tmp_path, {}, ["head=sub/x"]).assert_refused("x.yaml", "link")


@pytest.mark.parametrize("words", ["--help", "-sc query=bash", "--hydra-help", "--info config"])
def test_folders_that_lead_in_circles_are_listed_once(words: str, tmp_path: Path) -> None:
    for name in "abc":
        (own(tmp_path) if name == "a" else tmp_path / "work" / "theirs").joinpath(name).symlink_to(
            tmp_path / "work" / "theirs"
        )
    line = {"COMP_LINE": "lossheads train --config-dir theirs a/", "COMP_POINT": "99"}
    strangers(tmp_path, {})
    call(tmp_path, "train", "--config-dir", "theirs", *words.split(), env=line).assert_harmless()


def test_a_deep_folder_is_listed(tmp_path: Path) -> None:
    deep = own(tmp_path) / Path(*["d"] * 900)
    deep.mkdir(parents=True)
    done = call(tmp_path, "train", "--config-dir", "theirs", "--help")
    done.assert_harmless()
    assert done.status == 0


@pytest.mark.parametrize(
    "name",
    ["$(touch trap)", "`touch trap`", "a;touch trap", "[bold]x", "\u202egpj", "a\tb", "é" * 60],
)
def test_a_name_is_a_name(name: str, tmp_path: Path) -> None:
    """Chosen by the defaults of a file: names have letters, digits, dots, - and _."""
    files = {
        "experiment/evil.yaml": GLOBAL + f"defaults: [{{override /head: {name!r}}}]\n",
        f"head/{name}.yaml": FOCAL,
    }
    attack(tmp_path, files, ["experiment=evil"]).assert_harmless()


@pytest.mark.parametrize("name", ["a,b", "it's", "x]", "${oc.env:HOME}", "a=b", "back\\slash", "é"])
def test_a_folder_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config_dirs` reach Hydra as one setting: the name must not become a second one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name / "head").mkdir(parents=True)
    (tmp_path / name / "head" / "mine.yaml").write_text(FOCAL)
    done = lossheads.train([*BASE, "head=mine"], config_dirs=[name])
    assert done.status == "finished"


HYDRA = GLOBAL + "hydra: {job: {env_set: {GIT_TRACE: trap}}}\n"


def test_python_refuses_what_the_command_line_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    strangers(tmp_path, {"head/evil.yaml": HYDRA, "head/key.yaml": "gamma: ${oc.env:HOME}\n"})
    theirs = tmp_path / "work" / "theirs"
    with pytest.raises(UserError, match=r"hydra\.job"):
        lossheads.train([*BASE, "head=evil"], config_dirs=[theirs])
    with pytest.raises(UserError, match=r"gamma is '\$\{oc\.env:HOME\}'"):
        lossheads.train([*BASE, "head=key"], config_dirs=[theirs])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]


@pytest.mark.parametrize(
    ("file", "named"),
    [
        (HYDRA, "hydra.job"),
        ("gamma: ${oc.env:LOSSHEADS_TEST_SECRET}\n", "gamma"),
        ("gamma: &a [*a]\n", "aliases"),
        (GLOBAL + "output_dir: elsewhere\n", "output_dir"),
    ],
)
def test_arms_of_a_claim_refuse_it_too(file: str, named: str, tmp_path: Path) -> None:
    from claims.making import CLAIM

    strangers(tmp_path, {"head/evil.yaml": file})
    text = CLAIM.replace("head: sigmoid_bce", "head: evil")
    assert text != CLAIM
    (tmp_path / "work" / "a-claim.yaml").write_text(text, encoding="utf-8")
    done = call(tmp_path, "claim", "run", "a-claim.yaml", "--config-dir", "theirs", "device=cpu")
    done.assert_refused(named)


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("a: &a [x, x]\nb: [*a, *a]\n", "aliases"),
        ("gamma: " + "[" * 3000 + "]" * 3000, "nested"),
        ("_target_: !!python/object/apply:os.system [touch trap]\n", "python"),
        ("gamma: ${oc.env:LOSSHEADS_TEST_SECRET}\n", "gamma"),
        ("_target_: evil.Head\n", "_target_"),
    ],
)
def test_the_list_of_heads_refuses_it_too(file: str, named: str, tmp_path: Path) -> None:
    strangers(tmp_path, {"head/evil.yaml": file})
    call(tmp_path, "heads", "evil", "--config-dir", "theirs").assert_refused(named)


@pytest.mark.parametrize("words", ["heads --config-dir theirs", "claim run theirs/head/evil.yaml"])
def test_a_pipe_is_not_waited_for(words: str, tmp_path: Path) -> None:
    os.mkfifo(own(tmp_path) / "head" / "evil.yaml")
    call(tmp_path, *words.split()).assert_refused("evil.yaml")


PIPES = [("images/a/1.png", "images"), ("x.npz", "x.npz"), ("x.csv", "x.csv")]


@pytest.mark.parametrize(("pipe", "path"), PIPES)
def test_data_in_a_pipe_are_refused(pipe: str, path: str, tmp_path: Path) -> None:
    """Opening one waits for a writer that never comes."""
    place = tmp_path / "work" / pipe
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    if path == "images":
        (place.parents[1] / "b").mkdir()
        (place.parents[1] / "b" / "1.png").write_bytes(b"")
    call(tmp_path, "train", "dataset=files", f"dataset.path={path}", *BASE[1:]).assert_refused(
        place.name
    )


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/dev/stdin"])
def test_a_device_is_no_data_set(path: str, tmp_path: Path) -> None:
    done = call(tmp_path, "train", "dataset=files", f"dataset.path={path}", *BASE[1:])
    done.assert_refused("path")


def test_git_is_asked_without_the_users_variables(tmp_path: Path) -> None:
    """Whatever sets them: git must neither trace into a file nor run a monitor."""
    (tmp_path / "ask.py").write_text(
        "import os, torch\n"
        "from lossheads.runs.environment import describe_environment as ask\n"
        "print(ask(torch.device('cpu'))['git'])\n"
    )
    trap = tmp_path / "trap"
    env = {
        "GIT_TRACE": str(trap),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": f"touch {trap}; true",
    }
    done = python(str(tmp_path / "ask.py"), cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert not trap.exists()
    here = Path(lossheads.__file__).parents[2]
    assert ("'commit': None" in done.stdout) != (here / ".git").exists(), done.stdout


def test_modules_of_the_current_folder_stay_out_until_one_is_trusted(tmp_path: Path) -> None:
    """A library that looks for an optional package must not find a stranger's there."""
    (tmp_path / "code").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "code" / "build.py").write_text(
        "import os, sys\nfrom lossheads.runs.build import build_parts\n"
        "from lossheads.runs.config import compose\n"
        "build_parts(compose(['dataset=digits']))\nprint(os.getcwd() in sys.path)\n"
    )
    done = python(str(tmp_path / "code" / "build.py"), cwd=tmp_path / "here")
    assert done.stdout == "False\n", done.stderr


def test_a_call_that_is_terminated_says_so(tmp_path: Path) -> None:
    """Libraries that are interrupted at a bad moment fail with errors of their own."""
    (tmp_path / "ended.py").write_text(
        "import os, signal\nimport lossheads.cli.main as cli\n"
        "def run(words):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt:\n        raise AttributeError('half a module') from None\n"
        "cli.run = run\ncli.main()\n"
    )
    done = python(str(tmp_path / "ended.py"), cwd=tmp_path)
    assert done.returncode == 143
    assert done.stderr.startswith("lossheads: interrupted")
    assert done.stderr.count("\n") == 1
