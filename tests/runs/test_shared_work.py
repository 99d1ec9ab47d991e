"""Two processes with the same runs share the work: each run is trained once."""

import json
import threading
import time

from calling import Call
from lossheads.runs.collect import collect
from lossheads.runs.composer import own_composer
from lossheads.runs.folder import RunFolder, run_paths

TINY = ["dataset=digits", "model=linear", "training.steps=2", "device=cpu"]


def configs(folder, seeds):
    compose = own_composer()
    return [compose([*TINY, f"seed={seed}", f"output_dir={folder}"]) for seed in range(seeds)]


def test_a_run_that_another_process_leaves_unfinished_is_trained_here(tmp_path, capsys):
    runs = configs(tmp_path, 4)
    other = RunFolder(run_paths(runs)[1])
    other.open(runs[1], {})

    def leave():
        # Everything else is finished first, then it is waited for.
        while not (run_paths(runs)[3] / "result.json").exists():
            time.sleep(0.05)
        other.abandon("interrupted", "killed")

    thread = threading.Thread(target=leave)
    thread.start()
    results = collect(runs)
    thread.join()
    assert [result.config["seed"] for result in results] == [0, 1, 2, 3]
    assert "1 run(s) are trained by another process" in capsys.readouterr().err


def test_a_run_that_another_process_finishes_is_taken_from_it(tmp_path):
    (run,) = configs(tmp_path, 1)
    elsewhere, here = tmp_path / "elsewhere", run_paths([run])[0]
    (made,) = collect([run | {"output_dir": str(elsewhere)}])
    other = RunFolder(here)
    other.open(run, {})
    thread = threading.Timer(1.0, other.close, [made])
    thread.start()
    (result,) = collect([run])
    thread.join()
    assert result == made


def test_two_equal_sweeps_train_each_run_once(tmp_path):
    words = ["-m", *TINY[:2], "training.steps=40", "seed=range(24)", "cohort.max_members=3"]
    with (
        Call("lossheads", "train", *words, cwd=tmp_path) as one,
        Call("lossheads", "train", *words, cwd=tmp_path) as other,
    ):
        done = [one.result(), other.result()]
    assert [call.returncode for call in done] == [0, 0], [call.stderr for call in done]
    assert done[0].stdout == done[1].stdout
    trained = [line for call in done for line in call.stderr.splitlines() if "training" in line]
    results = sorted((tmp_path / "outputs" / "runs").glob("*/result.json"))
    assert len(results) == 24
    members = sum(int(line.split(": ")[1].split()[0]) for line in trained)
    assert members == 24
    assert {json.loads(file.read_text())["status"] for file in results} == {"finished"}
