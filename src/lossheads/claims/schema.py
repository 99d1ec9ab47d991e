"""A claim is data: who said what, the arms that test it, hypotheses with margins, a rule.

Nothing in a claim names code. Arms are configuration overrides whose keys and values are plain
words and numbers (see `plain_yaml`), so a stranger's claim file is safe to run; the verdict is
computed from the hypotheses by the rule the file states, never written.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from lossheads.analysis.statistics import Conclusion, Region

# a - b for two arms, (a - b) - (c - d) for four.
_SIGNS = {1: (1,), 2: (1, -1), 4: (1, -1, -1, 1)}

Scalar = str | int | float | bool | None
Value = Scalar | tuple[Scalar, ...]
Overrides = Mapping[str, Value]

# What draws a dataset: set to the run's seed where each seed draws its own data.
DATA_SEED = "dataset.seed"

Relation = Literal["greater", "less", "equivalent", "equals"]
Word = Literal["reproduced", "metric_artefact", "mixed", "refuted", "undecided"]
# What a hypothesis is about: other examples drawn as the test set was, or these very ones.
About = Literal["new_examples", "this_test_set"]


def needs(item: str) -> tuple[str, Conclusion]:
    """What an item of a rule asks for: `b` that b holds, `not b` that b fails."""
    name = item.removeprefix("not ")
    return name, "holds" if name == item else "fails"


def is_web(url: str) -> bool:
    """Whether it is an address that a page may link to: a stranger's could be a script."""
    try:
        parts = urlsplit(url)
    except ValueError:  # for example an unclosed bracket
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def as_arguments(overrides: Mapping[str, object]) -> list[str]:
    """The overrides as the command line takes them: ["head=softmax_cce", …]."""
    return [f"{key}={_as_argument(value)}" for key, value in overrides.items()]


def _as_argument(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_as_argument, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def region_of(relation: Relation, value: float, margin: float) -> Region:
    """Where the true mean lies if the hypothesis is right."""
    if relation == "greater":
        return Region(value + margin, math.inf, open=True)
    if relation == "less":
        return Region(-math.inf, value - margin, open=True)
    return Region(value - margin, value + margin)


@dataclass(frozen=True)
class Source:
    """Where a claim was made: document, framework; address and date where they are known."""

    document: str
    framework: str
    url: str = ""
    date: str = ""


@dataclass(frozen=True)
class Hypothesis:
    """A number of the arms, and the region its mean over seeds must lie in.

    The number is a level (one arm), a difference a - b (two), or a difference of differences
    (a - b) - (c - d) (four); each arm is read under its own metric, on the test split.

    Attributes:
        name: As in the file; `name/case` when it is asked of several cases.
        relation: greater (above value + margin), less (below value - margin), equivalent
            (within ± margin), equals (within value ± tolerance).
        location: File, line and key, for error messages.
        about: Whether the mean is that over new test examples or over this test set alone. The
            key of the file is `on`.
    """

    name: str
    relation: Relation
    arms: tuple[str, ...]
    metrics: tuple[str, ...]
    value: float
    margin: float
    says: str
    location: str
    about: About = "new_examples"

    @property
    def region(self) -> Region:
        """Where the true mean lies if the hypothesis is right."""
        return region_of(self.relation, self.value, self.margin)

    @property
    def signs(self) -> tuple[int, ...]:
        """With which each arm's level is counted."""
        return _SIGNS[len(self.arms)]

    @property
    def condition(self) -> str:
        """The hypothesis in symbols, with its margin: `accuracy_score: a - b > 0.01`."""
        same = len(set(self.metrics)) == 1
        names = [
            arm if same else f"{metric}({arm})"
            for arm, metric in zip(self.arms, self.metrics, strict=True)
        ]
        if len(names) == 4:
            contrast = f"({names[0]} - {names[1]}) - ({names[2]} - {names[3]})"
        else:
            contrast = " - ".join(names)
        if self.relation == "greater":
            bound = f"> {self.value + self.margin:.6g}"
        elif self.relation == "less":
            bound = f"< {self.value - self.margin:.6g}"
        else:
            bound = f"within {self.value:.6g} ± {self.margin:.3g}"
        return f"{self.metrics[0]}: {contrast} {bound}" if same else f"{contrast} {bound}"


@dataclass(frozen=True)
class Check:
    """An algebraic check: one computed number against one stated number. Needs no training.

    Attributes:
        compute: Name in `checks.registry.COMPUTATIONS`.
        of: Its arguments, by position.
        printed: Digits as a source printed them; then `relation` is equals, within half a unit
            of the last digit, and truncated digits are distinguished from wrong ones.
    """

    name: str
    compute: str
    of: tuple[Value, ...]
    relation: Relation
    value: float
    tolerance: float
    printed: str | None
    says: str
    location: str


@dataclass(frozen=True)
class Arm:
    """One arm of a claim: everything it sets, shared and case overrides included.

    Attributes:
        redrawn: Whether each seed draws its own data; else all seeds share one data set.
        location: File, line and key, for error messages.
        locations: The same for each override by its key.
    """

    name: str
    case: str
    overrides: Overrides
    redrawn: bool = False
    location: str = ""
    locations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What a claim file says, checked as far as that is possible without running anything.

    Attributes:
        slug: The file's stem.
        says: Our paraphrase, at most 25 words.
        statement: What exactly is tested.
        arms: By name; `case/arm` when there are cases. Empty when checks alone decide.
        grid: Key and values tried on each side under `tuned_rate`.
        choose_by: The metric that chooses from the grid on the validation split.
        match_first_step: Whether learning rates are scaled so that all first steps are equally
            long on the logits; the file's rate is then the first arm's.
        seeds: How many, 0 … seeds - 1; or `auto`, see `runner.run_claim`.
        show: Metrics of the printed table, beyond those of the hypotheses.
        sha256: Of the file's text, so that a verdict names exactly what was asked.
        cli_name: How the command line names it: a path for a file of one's own, else the slug.
        cli_flags: Flags of the command line that repeat it.
        verdict: In order: verdict -> hypotheses and checks that must all hold, `not NAME` fail.
    """

    slug: str
    source: Source
    says: str
    statement: str
    explanation: str
    would_change: str
    verdict: Mapping[Word, tuple[str, ...]]
    arms: Mapping[str, Arm]
    hypotheses: tuple[Hypothesis, ...] = ()
    checks: tuple[Check, ...] = ()
    protocol: str = "same_rate"
    grid: tuple[str, tuple[Value, ...]] | None = None
    choose_by: str = ""
    match_first_step: bool = False
    seeds: int | Literal["auto"] = 0
    show: tuple[str, ...] = ()
    sha256: str = field(default="", compare=False)
    cli_name: str = field(default="", compare=False)
    cli_flags: tuple[str, ...] = field(default=(), compare=False)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric the page shows, in the order of first mention."""
        asked = [metric for hypothesis in self.hypotheses for metric in hypothesis.metrics]
        return tuple(dict.fromkeys([*self.show, *asked]))
