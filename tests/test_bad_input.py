"""Words, files and folders that cannot be right: one sentence, status 2, nothing written.

`test_cli.py` holds the commonest mistakes; these were found by trying to break the program.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from calling import lossheads, refusal
from lossheads.analysis.html import write_html
from lossheads.cli.main import _interrupted
from lossheads.errors import UserError
from lossheads.runs.messages import message_and_status

EMPTY_OR_TWICE = [
    ("report --html=", "--html got nothing"),
    ("report --metric=", "--metric got nothing"),
    ("report --by head --by lr", "--by is given twice"),
    ("evaluate a.npz --head softmax_cce --head=sigmoid_bce", "--head is given twice"),
    ("evaluate a.npz --html=", "--html got nothing"),
    ("compare a.npz b.npz --metric x --metric x", "--metric is given twice"),
    ("claim run double-sigmoid double-softmax", "'double-softmax' as well: one claim a call"),
    ("claim new My.yaml", "My.yaml is not a name for a claim file"),
]


@pytest.mark.parametrize(("words", "named"), EMPTY_OR_TWICE)
def test_what_is_empty_or_given_twice_is_refused(words: str, named: str, tmp_path: Path) -> None:
    assert named in refusal(*words.split(), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_output_in_another_encoding_loses_nothing(tmp_path: Path) -> None:
    # The encoding is read when Python starts: no call of the fork server.
    env = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "COLUMNS": "200"}
    words = [sys.executable, "-P", "-m", "lossheads", "heads"]
    told = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert b"\\u2192" in told.stdout  # an arrow


def test_standard_output_that_is_full_is_not_called_a_folder(tmp_path: Path) -> None:
    error = message_and_status(OSError(errno.ENOSPC, "full"))[0]
    assert "the output cannot be written: no space left on device" in error


def test_an_interrupted_command_without_runs_speaks_of_none() -> None:
    assert "runs" not in _interrupted(["evaluate", "a.npz"])
    for words in (["claim", "run", "x"], ["train", "seed=1"], ["seed=1"], ["-m", "seed=1,2"]):
        assert "finished runs are kept" in _interrupted(words)


DIGITS = ["train", "dataset=digits", "training.steps=2", "recording.tensorboard=false"]


WORDS = [
    # values that torch or Hydra take, or answer with a Python error
    ("seed=1.5", "seed must be an integer, got 1.5"),
    ("seed=null", "seed must be an integer, got null"),
    ("force=maybe", "force must be true or false, got maybe"),
    ("trust=abc", "trust must be a list of words"),
    ("output_dir=[a]", "output_dir must be a word, got ['a']"),
    ("output_dir=", "output_dir must not be empty"),
    ("training=tiny", "training must be a section"),
    ("device.kind=tpu", "device.kind got tpu: did you mean cpu?"),
    (
        "training.steps=null training.epochs=1e300",
        "training.epochs must be at most 1,000,000",
    ),
    ("training.monitor=nonsense", "training.monitor=nonsense: no metric"),
    ("optimizer.lr=abc", "optimizer.lr must be a number for Adam, got abc"),
    ("optimizer.lr=true", "optimizer.lr must be a number for Adam, got True"),
    ("optimizer.fused=maybe", "optimizer.fused must be true, false or null"),
    ("optimizer.betas=[0.9,0.99,0.999]", "optimizer.betas must be a list of 2 numbers"),
    ("optimizer.eps=0", "optimizer.eps must be above 0"),
    ("model.hidden=[true]", "hidden must be a list of widths of at least 1"),
    ("training.epochs=50", "training.steps=2 and training.epochs=50: steps override epochs"),
    ("-m training.epochs=1,2", "training.steps=2 and training.epochs=1,2: steps override epochs"),
    ("+training.epochs=50", "omit one of the two"),
    # groups and keys
    ("head=[softmax_cce,sigmoid_bce]", "a run has one head"),
    ("head=[a,b]", "head has no 'b'; choose from"),
    ("head=null", "head must be chosen by name"),
    ("head=[1]", "head must be chosen by name"),
    ("model=[[mlp]]", "model must be chosen by name"),
    ("hydra.verbose=0.999", "hydra.verbose must be true, false or names of loggers"),
    ("hydra.verbose=[1]", "hydra.verbose must be true, false or names of loggers"),
    ("hydra.mode=MULTIRUN hydra.sweeper=null", "sweeper"),
    ("hydra.job_logging=5", "hydra"),
    ("hydra.searchpath=[pkg://mymod]", "hydra.searchpath names pkg://mymod"),
    ("seed=" + "[" * 3000 + "]" * 3000, "nested 3000 levels deep"),
    ("dataset.class_names=[" + "a," * 6000 + "a]", "at most 10,000"),
    ("model.hidden=[9999999999]", "weights"),
    ("model=cnn model.channels=[99999999]", "weights"),
    ("+head=sigmoid_bce", "head is chosen already"),
    ("~head", "a run needs the key 'head', which is missing: choose one with head=NAME"),
    ("~recording", "a run needs the key 'recording'"),
    ("~training.epochs", "training.epochs must be set"),
    ("hydra.run.dir=/proc/no", "/proc/no cannot be used: no such file or directory"),
    # keys without their section, or of another choice
    ("batch_size=3", "a run has no key 'batch_size'; did you mean training.batch_size?"),
    ("+batch_size=3", "a run has no key 'batch_size'; did you mean training.batch_size?"),
    ("-m batch_size=3,4", "did you mean training.batch_size?"),
    ("lr=0.1", "did you mean optimizer.lr?"),
    ("epohs=3", "did you mean training.epochs?"),
    ("hidden=[3]", "did you mean model.hidden?"),
    ("path=x", "did you mean dataset.path (with dataset=files)?"),
    ("head=focal gamma=2", "did you mean head.gamma?"),
    (
        "head.gamma=2",
        "head has no key 'gamma'; did you mean head.gamma (with head=focal or softmax_focal)?",
    ),
    ("head=dice", "head has no 'dice'; Dice and other F-measures are ratios of sums over a batch"),
    ("head=cosine_softmax", "set output_layer.cosine_temperature, with head=softmax_cce"),
    (
        "channels=3",
        "dataset.channels (with dataset=files) or model.channels (with model=cnn or resnet9)?",
    ),
    ("model=cnn channels=3", "did you mean model.channels?"),
    ("training.lr=3", "training has no key 'lr'; did you mean optimizer.lr?"),
    ("+training.lr=3", "training has no key 'lr'; did you mean optimizer.lr?"),
    # flags
    ("--nope", "train: unrecognized arguments: --nope"),
    ("--experimental-rerun job.pickle", "--experimental-rerun"),
    ("--experimental job.pickle", "--experimental-rerun"),
    ("--config-path /tmp", "--config-path"),
    ("-cp pkg://mymod", "--config-path"),
    ("--config-name mine", "--config-name"),
    ("--info all nope=1", "nope"),
    ("--info defaults head=nope", "nope"),
    ("--info nope", "nope"),
    ("--cfg nope", "nope"),
    ("--cfg job --package nope", "nope"),
    ("--config-dir", "argument --config-dir/-cd: expected one argument"),
    ("--config-dir nowhere", "nowhere' not found"),
    ("--run --multirun", "Only one of --run, --multirun"),
    ("-m seed=range(0,0)", "the sweep is empty"),
    ("schedule=cosine schedule.warmup=abc", "got warmup=abc"),
    ("model=cnn model.channels=[]", "cnn: channels must be a list of widths of at least 1"),
    ("model=cnn model.dense=0", "cnn: channels must be a list of widths of at least 1"),
    ("model=resnet18 model.groups=a", "groups must divide 64, got 'a'"),
]


@pytest.mark.parametrize(("words", "said"), WORDS)
def test_a_wrong_word_is_one_sentence(
    words: str,
    said: str,
    tmp_path: Path,
) -> None:
    assert said in refusal(*DIGITS, *words.split(), cwd=tmp_path)


HEAD = "_target_: mymod.Mine\n_partial_: true\n"
GLOBAL = "# @package _global_\n"
OWN = [
    ("head", "_target_: [broken\n x: : y\n", "", "mine.yaml, line 2 cannot be read as YAML"),
    ("head", "a: 1\na: 2\n", "", "found duplicate key a"),
    ("head", "defaults: [nope]\n", "", "head has no 'nope'"),
    ("head", "_target_: 3\n", "", "head._target_ must be a name, package.Name, got 3"),
    ("head", HEAD.replace("true", "maybe"), "", "head._partial_ must be true or false"),
    ("head", HEAD, "import sys; sys.exit(3)\n", "cannot be imported"),
    ("head", HEAD, "def Mine(outcome): return 5\n", "head Mine must return a head"),
    ("head", HEAD, "def Mine(outcome): raise KeyError('x')\n", "refuses its options"),
    (
        "head",
        HEAD,
        "BASE\n  def decide(self, l): return l\n",
        "must return decisions of shape (2,)",
    ),
    ("head", HEAD, "BASE\n  def log_probs(self, l): 1 / 0\n", "division by zero"),
    ("model", HEAD, "def Mine(input_shape): return None\n", "cannot be built for inputs"),
    ("model", HEAD, "def Mine(input_shape): raise KeyError('x')\n", "cannot be built for inputs"),
    ("schedule", HEAD, "def Mine(progress): raise KeyError('x')\n", "schedule Mine fails"),
    (
        "schedule",
        HEAD,
        "def Mine(progress): return 'a'\n",
        "must return a factor on the learning rate, a number, got 'a'",
    ),
    ("experiment", "training: {epochs: 3}\n", "", "'# @package _global_'"),
    (
        "experiment",
        GLOBAL + "hydra: {callbacks: {x: {_target_: mymod.Mine}}}\n",
        "",
        "mine.yaml sets hydra.callbacks.x",
    ),
]


@pytest.mark.parametrize(("group", "text", "code", "said"), OWN)
def test_a_broken_file_of_ones_own_is_one_sentence(
    group: str,
    text: str,
    code: str,
    said: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "c" / group).mkdir(parents=True)
    (tmp_path / "c" / group / "mine.yaml").write_text(text)
    base = "from lossheads.heads import SoftmaxCCE\nclass Mine(SoftmaxCCE):"
    (tmp_path / "mymod.py").write_text(code.replace("BASE", base))
    # Flags stand in the middle on purpose: Hydra's own parser wants them first.
    words = [*DIGITS, "--config-dir", "c", f"{group}=mine", "trust=[mymod]"]
    assert said in refusal(*words, cwd=tmp_path)


COMMANDS = [
    ("claim run softmax-cannot-see-a-shift --nope", "claim: unrecognized arguments: --nope"),
    ("claim run prior-bias seeds=99999999999999999999999", "seeds must be"),
    ("claim run prior-bias seeds=" + "9" * 5000, "seeds must be"),
    ("claim run prior-bias seeds=1001", "seeds must be at most 1,000"),
    ("claim run prior-bias seeds=0x10", "seeds must be"),
    ("claim run all --claims .", "claim finds no claim file"),
    ("claim run softmax-cannot-see-a-shift output_dir=file", "file/claims"),
    ("claim run nofile.yaml", "claim finds no file nofile.yaml"),
    ("claim run prior-bais.yaml", "did you mean prior-bias"),
    ("claim run below/odd.yaml", "below/odd.yaml cannot be read: is a directory\n"),
    ("train output_dir=/proc/x dataset=digits", "no such file or directory; name another folder"),
    ("report --nope", "report: unrecognized arguments"),
    ("train -sc nope", "Expecting one subcommand"),
]


@pytest.mark.parametrize(("words", "said"), COMMANDS)
def test_a_wrong_call_of_a_command_is_one_sentence(
    words: str,
    said: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "below" / "odd.yaml").mkdir(parents=True)
    assert said in refusal(*words.split(), cwd=tmp_path)


def test_a_page_goes_to_a_file_alone(tmp_path: Path) -> None:
    """Renamed over a device such as /dev/null, the page would replace it by a file."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UserError, match="not a file"):
            write_html(path, "")
    assert (tmp_path / "pipe").is_fifo()


def test_a_sweep_writes_to_one_outputs_folder(tmp_path: Path) -> None:
    done = lossheads(*DIGITS, "-m", "output_dir=a,b", cwd=tmp_path)
    assert done.returncode == 2
    assert "the sweep must have one value of output_dir, got a, b" in done.stderr
    assert not list(tmp_path.iterdir())
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "words", ["claim --help", "claim run -h", "heads --help", "report -h", "train -h"]
)
def test_help_needs_no_torch(words: str) -> None:
    code = (
        "import sys, lossheads.cli.main as cli\n"
        f"try: cli.run({words.split()!r})\n"
        "except SystemExit as ended: assert not ended.code\n"
        "sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("words", ["heads", "claim list"])
def test_a_reader_that_leaves_is_no_error(words: str) -> None:
    call = f"{sys.executable} -m lossheads {words} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
