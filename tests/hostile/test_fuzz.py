"""Random words and random YAML: exit status 0 or 2, one sentence, nothing outside, in time.

`LOSSHEADS_FUZZ=N` makes N calls of each kind, always the same ones; without it a handful.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from .making import GLOBAL, Call, attack, call

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

CALLS = int(os.environ.get("LOSSHEADS_FUZZ", "12"))
bounded = settings(
    max_examples=CALLS,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

GROUPS = {
    "head": ["softmax_cce", "sigmoid_bce", "focal", "single_logit_bce", "per_label_cce", "evil"],
    "model": ["linear", "mlp", "cnn", "evil"],
    "optimizer": ["adam", "sgd", "adamw", "evil"],
    "schedule": ["constant", "cosine", "evil"],
    "dataset": ["digits", "files", "evil"],
    "device": ["cpu", "auto", "cuda"],
    "experiment": ["evil", "null", "nope"],
    "debug": ["tiny", "null"],
}
KEYS = ["seed", "data_seed", "training.steps", "training.batch_size", "training.patience"]
KEYS += ["training.validations_per_epoch", "training.monitor", "output_layer.prior_bias"]
KEYS += ["cohort.max_members", "recording.weights", "recording.predictions", "data_dir", "force"]
KEYS += ["trust", "extra_metrics", "optimizer.lr", "optimizer.betas", "optimizer.eps", "head.gamma"]
KEYS += ["optimizer.weight_decay", "model.hidden", "model.channels", "model.dense"]
KEYS += ["dataset.classes", "dataset.path", "dataset.kind", "dataset.resize", "device.threads"]
KEYS += ["device.precision", "device.graph", "head._target_", "model._partial_", "schedule.warmup"]
KEYS += ["hydra.verbose", "hydra.mode", "hydra.job.name", "hydra.callbacks", "hydra.launcher"]
KEYS += ["hydra.sweeper.params", "hydra.job.env_set", "hydra.searchpath", "hydra.help.template"]
KEYS += ["hydra.sweeper.max_batch_size", "hydra.runtime.cwd", "hydra.overrides.task", "hydra"]

# Without NUL, which no argument can hold; with bytes that are no UTF-8, as Python shows them.
letters = st.characters(exclude_characters="\0", exclude_categories=()).filter(
    lambda c: not 0xD800 <= ord(c) < 0xDC80 and not 0xDCFF < ord(c) < 0xE000
)
text = st.text(letters, max_size=12)
small = st.sampled_from(["-1", "0", "1", "2", "3", "0.5", "1e-3", "true", "null", "abc", "''"])
ODD = ["nan", "-inf", "1e400", "9" * 30, "9" * 5000, "[]", "[1]", "[-1]", "[1,[2]]", "{}", "{a: 1}"]
ODD += ["1,2", "range(0,2)", "range(3)", "choice(1,2)", "glob(*)", "interval(0,1)", "shuffle(1,2)"]
ODD += ["${seed}", "${nope}", "${oc.env:HOME}", "${oc.decode:1}", "${", "$", "???", "\\", "'", '"']
ODD += ["evil.Thing", "os.system", "../../x", "/dev/null", "[9999999999]", "x" * 2000, "(" * 40]
odd = st.sampled_from(ODD)
value = small | odd | text
choice = st.sampled_from(sorted(GROUPS)).flatmap(
    lambda group: st.sampled_from(GROUPS[group]).map(lambda name: f"{group}={name}")
)
setting = st.tuples(
    st.sampled_from(["", "", "", "", "+", "++", "~"]), st.sampled_from(KEYS), value
).map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}")
FLAGS = ["-m", "--cfg job", "--cfg hydra", "--cfg all", "--resolve", "--info all", "--nope", "--"]
FLAGS += ["--info defaults", "--package head", "--help", "--hydra-help", "--version", "--run", "-"]
FLAGS += ["--config-dir theirs", "--config-name x", "-sc install=bash", "--trust evil_too", "-x"]
flag = st.sampled_from(FLAGS)
word = choice | setting | st.tuples(text, value).map("=".join) | text
train_words = st.tuples(st.lists(word, max_size=4), st.lists(flag, max_size=2)).map(
    lambda both: [*both[0], *(part for one in both[1] for part in one.split())]
)
COMMANDS = ["claim", "claim list", "claim run", "heads", "metrics", "report", "board"]
OTHER = [
    "--help",
    "nope",
    "focal",
    "accuracy_score",
    "--outcome",
    "OneOf",
    "--csv",
    "--html",
    "all",
]
OTHER += ["seeds=x", "device=cpu", "seeds=" + "9" * 30, "--claims", "--port", "99999", "/dev/null"]
OTHER += ["--config-dir", "theirs", "--parquet", "--sweep", "outputs"]
other_words = st.tuples(
    st.sampled_from(COMMANDS), st.lists(st.sampled_from(OTHER) | text, max_size=4)
).map(lambda both: [*both[0].split(), *both[1]])

floats = st.floats(allow_subnormal=False)  # earlier tests may have had them flushed
scalars: Any = st.none() | st.booleans() | st.integers() | floats | text | odd
keys = (
    st.sampled_from(["_target_", "_partial_", "_args_", "a", "hydra", "defaults", "gamma"]) | text
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
SECTIONS = ["hydra", "defaults", "head", "model", "dataset", "training", "seed", "trust", "force"]
SECTIONS += ["output_dir", "device", "recording", "optimizer", "extra_metrics", "data_dir"]
sections = st.fixed_dictionaries({}, optional=dict.fromkeys(SECTIONS, trees))
written = sections.map(lambda data: yaml.safe_dump(data, allow_unicode=False))
PIECES = [
    "a: ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: ",
    "!!",
    "!!python/object:evil.T ",
    "\n",
]
PIECES += ["  ", "? ", ": ", "'", '"', "|\n", ">\n", "%YAML 1.1\n", "---\n", "...\n", "# @package "]
PIECES += ["\t", "_target_: ", "lossheads.heads.Focal", "hydra:\n", "${oc.env:HOME}", "${seed}"]
PIECES += ["\ufeff", ","]
pieces = st.sampled_from(PIECES)
torn = st.lists(pieces | text, max_size=25).map("".join)
files = st.sampled_from(["experiment", "head", "model", "optimizer"]).flatmap(
    lambda group: (written.map(lambda body: GLOBAL * (group == "experiment") + body) | torn).map(
        lambda body: (group, body)
    )
)


def hold(done: Call) -> None:
    """What every call promises; a run that was trained and diverged ends with 1."""
    lines = done.stderr.splitlines()
    event(f"exit status {done.status}")
    if done.status == 1 and lines and ("diverged" in lines[-1] or "not finite" in lines[-1]):
        done.status = 0
    trained = any(line.startswith("training ") for line in lines)
    if done.status == 2 and trained:  # refused after it began: the last line says why
        done.stderr = f"{lines[-1]}\n"
    done.assert_harmless()


@bounded
@given(train_words)
def test_words_of_a_run(words: list[str]) -> None:
    with TemporaryDirectory() as folder:
        evil = {
            "head/evil.yaml": "_target_: lossheads.heads.Focal\n",
            "experiment/evil.yaml": GLOBAL,
        }
        hold(attack(Path(folder), evil, words))


@bounded
@given(other_words)
def test_words_of_other_commands(words: list[str]) -> None:
    with TemporaryDirectory() as folder:
        done = call(Path(folder), *words)
        done.written = [name for name in done.written if not name.endswith((".html", ".parquet"))]
        hold(done)


@bounded
@given(files)
def test_files_of_a_stranger(file: tuple[str, str]) -> None:
    group, body = file
    with TemporaryDirectory() as folder:
        body = body.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        hold(attack(Path(folder), {f"{group}/evil.yaml": body}, [f"{group}=evil"]))


@bounded
@given(st.lists(word, max_size=3), text)
def test_words_without_a_command(words: list[str], first: str) -> None:
    with TemporaryDirectory() as folder:
        hold(
            call(Path(folder), first, *words, "dataset=digits", "training.steps=1", "model=linear")
        )
