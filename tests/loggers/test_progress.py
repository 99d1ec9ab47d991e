"""What a pipe gets while runs train: no screen is needed to read it."""

import io

import pytest

from lossheads.analysis.terminal import PlainConsole
from lossheads.loggers.progress import Reporter


def said_of(arms: dict[str, str]) -> list[str]:
    file = io.StringIO()
    with Reporter(PlainConsole(file=file, width=200)) as reporter:
        reporter.expect(arms)
        progress = reporter.cohort("digits", list(arms), 100, "accuracy_score")
        progress.on_validation(50, 1.0, [0.25, 0.5, 0.75][: len(arms)])
    return file.getvalue().splitlines()


SHARED = ", hidden=[64, 32], lr=0.1"


@pytest.mark.parametrize(
    ("arms", "begun", "means"),
    [
        (("cce" + SHARED, "bce" + SHARED), f"digits{SHARED}:", "cce 0.2500, bce 0.5000"),
        (("cce" + SHARED, "bce" + SHARED, "cce" + SHARED), SHARED, "cce 0.5000, bce 0.5000"),
        (("cce, lr=0.1", "cce, lr=0.01"), "digits:", "cce, lr=0.1 0.2500, cce, lr=0.01 0.5000"),
        # What a list ends with is no setting.
        (("cce, n=[1, 2]", "cce, n=[3, 2]"), "digits:", "cce, n=[1, 2] 0.2500, cce, n=[3, 2] 0.5"),
        (("cce, lr=0.1",), "digits:", "0.2500 (validation, mean of 1)"),
    ],
)
def test_settings_that_all_arms_of_a_cohort_share_are_told_once(arms, begun, means):
    first, last = said_of({f"run{at}": arm for at, arm in enumerate(arms)})
    assert begun in first
    assert means in last
    assert SHARED not in last
