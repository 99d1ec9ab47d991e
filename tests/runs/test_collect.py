"""Finished runs are told without the engine; what is missing goes to it, and nothing else."""

import json
import sys

import pytest

from calling import python
from lossheads.runs.collect import collect
from lossheads.runs.composer import own_composer
from lossheads.runs.folder import run_path, run_paths

TINY = ["dataset=digits", "model=linear", "training.steps=2", "device=cpu"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    compose = own_composer()
    runs = [compose([*TINY, f"seed={seed}", f"output_dir={folder}"]) for seed in range(3)]
    collect(runs)
    return runs


def test_only_missing_runs_reach_the_engine(finished, monkeypatch):
    import lossheads.runs.execute as engine

    asked = []
    monkeypatch.setattr(engine, "execute", lambda runs, *_: asked.extend(runs) or ["new"])
    new = {**finished[0], "seed": 17}
    results = collect([finished[2], new, finished[0]])
    assert [run["seed"] for run in asked] == [17]
    assert [getattr(result, "config", {}).get("seed") for result in results] == [2, None, 0]


@pytest.mark.parametrize("wish", ["force", "weights", "predictions"])
def test_what_a_finished_run_lacks_is_asked_of_the_engine(finished, wish, monkeypatch):
    import lossheads.runs.execute as engine

    asked = []
    monkeypatch.setattr(engine, "execute", lambda runs, *_: asked.extend(runs) or ["new"])
    recording = {**finished[0]["recording"], wish: True}
    run = finished[0] | ({"force": True} if wish == "force" else {"recording": recording})
    assert collect([run]) == ["new"]
    assert len(asked) == 1


def test_paths_are_those_of_folders_that_end_in_the_key(finished):
    paths = run_paths(finished)
    assert all((path / "result.json").is_file() for path in paths)
    renamed = paths[1].rename(paths[1].with_name(f"mine-{paths[1].name.rpartition('-')[2]}"))
    assert run_path(finished[1]) == renamed
    renamed.rename(paths[1])


def test_a_finished_run_is_told_without_torch(finished, tmp_path):
    program = tmp_path / "told.py"
    program.write_text(
        "import json, sys\n"
        "for name in [n for n in sys.modules if n.split('.')[0] == 'torch']:\n"
        "    del sys.modules[name]\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torch': raise ImportError('torch was imported')\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from lossheads.runs.collect import collect\n"
        "print(collect(json.loads(sys.argv[1]))[1].name)\n"
    )
    told = python(str(program), json.dumps(finished), cwd=tmp_path)
    assert (told.returncode, told.stdout.strip()) == (0, run_path(finished[1]).name), told.stderr
    assert "torch" in sys.modules  # here the engine has run


def test_the_folder_of_runs_is_listed_once_however_many_are_planned(finished, monkeypatch):
    from lossheads.runs import folder, plan

    listed, real = [], folder.os.listdir
    monkeypatch.setattr(folder.os, "listdir", lambda path: listed.append(path) or real(path))
    runs = plan.plan_runs([finished[0] | {"seed": seed} for seed in range(20)])
    assert len(listed) == 1
    assert [run.folder.path for run in runs[:1]] == run_paths(finished[:1])
    assert len({run.folder.path for run in runs}) == 20
