"""`train` and `run_claim` from Python: the command line's results and sentences."""

from pathlib import Path
from typing import Any

import pytest

import lossheads as lh

TINY = ["dataset=digits", "training.steps=2", "device=cpu", "recording.tensorboard=false"]


def test_a_run_is_trained_once_and_taken_then(tmp_path: Path) -> None:
    words = [*TINY, f"output_dir={tmp_path}"]
    first = lh.train(words)
    assert first.status == "finished"
    assert 0 <= first.test.metrics["accuracy_score"] <= 1
    assert lh.train(words) == first
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_claim_of_checks_is_judged_without_training() -> None:
    assert lh.run_claim("softmax-cannot-see-a-shift").verdict == "reproduced"


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("train", (None,), {}, "list of settings"),
    ("train", ("dataset=digits",), {}, "list of settings"),
    ("train", ([*TINY, "optimizer.lr=many"],), {}, "optimizer.lr"),
    ("train", ([*TINY, "head=softmax_cc"],), {}, "did you mean softmax_cce"),
    ("train", (TINY,), {"config_dirs": ["/nowhere"]}, "/nowhere"),
    ("train", (TINY,), {"config_dirs": "nope"}, "list of folders"),
    ("train", (TINY,), {"trust": "my_heads"}, "list of packages"),
    ("run_claim", ("bce-97",), {}, "bce-97-vs-cce-90"),
    ("run_claim", ("prior-bias",), {"seeds": "x"}, "seeds"),
    ("run_claim", ("prior-bias",), {"overrides": 5}, "list"),
    ("run_claim", ("prior-bias",), {"overrides": ["optimizer.lr=1"]}, "fixed"),
]


@pytest.mark.parametrize(("name", "given", "options", "words"), WRONG)
def test_a_wrong_call_is_one_sentence(
    name: str,
    given: tuple[Any, ...],
    options: dict[str, Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lh.UserError) as caught:
        getattr(lh, name)(*given, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
