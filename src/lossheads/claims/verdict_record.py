"""The typed record of a verdict: what verdict.json may hold, field by field.

`verdict_file` builds it, writes it and reads it back; every view is made from it alone. JSON knows
no NaN and no infinity: both are written as null. Read back, a missing end of an interval is
infinite and any other missing number is undefined.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from lossheads.analysis.estimates import Covers, Drawn
from lossheads.analysis.statistics import Conclusion, Discordance, Interval, SignFlipTest
from lossheads.analysis.summary import Standing
from lossheads.claims.judge import EnvironmentCount, Reading, decide
from lossheads.claims.schema import About, Relation, Source, Value, Word, needs
from lossheads.records import MetricInfo

SCHEMA_VERSION = 1


def _nan_for_null(value: Any) -> Any:
    return math.nan if value is None else value


def _interval(value: Any) -> Any:
    """Null ends are infinite; numbers are numbers, not text that looks like one."""
    if not isinstance(value, Mapping):
        return value
    missing = {"mean": math.nan, "low": -math.inf, "high": math.inf, "deviation": math.nan}
    for name, entry in value.items():
        if isinstance(entry, str | bool):
            raise ValueError(f"{name} must be a number, got {entry!r}")
    return {k: missing[k] if v is None and k in missing else v for k, v in value.items()}


Number = Annotated[float, Strict(), BeforeValidator(_nan_for_null)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Count = Annotated[int, Strict(), Field(ge=0)]
SeedInterval = Annotated[Interval, BeforeValidator(_interval)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExamplesRecord(_Part):
    """What the draw of one test set does to a mean over the seeds that share it."""

    n: Count = Field(description="Test examples.")
    units: Count = Field(description="Of these, or of groups of them, the influence is known.")
    variance: Number = Field(ge=0, description="Of the mean over seeds, by the examples.")
    shared: Number = Field(ge=0, description="The part that the seeds show as well.")
    edge: Number = Field(description="Coin flips that tell as much; null: none are needed.")


class SampleRecord(_Part):
    """The test examples behind a number, and the range it cannot leave."""

    drawn: Drawn = Field(description="Whether the seeds share them.")
    examples: tuple[ExamplesRecord, ...] = Field(description="One for each test set; may be none.")
    low: Number = Field(description="Null: no end.")
    high: Number = Field(description="Null: no end.")


class HypothesisRecord(_Part):
    """One hypothesis: what it asks, its number at each seed, and its conclusion."""

    conclusion: Conclusion
    says: str
    condition: str = Field(description="In symbols, with arms and margin.")
    relation: Relation
    arms: tuple[str, ...] = Field(description="One, two (a - b) or four ((a - b) - (c - d)).")
    metrics: tuple[str, ...] = Field(description="One for each arm.")
    value: Number = Field(description="In the unit of the metric.")
    margin: Number = Field(ge=0, description="In the unit of the metric.")
    numbers: tuple[Number, ...] = Field(description="One per seed, in the unit of the metric.")
    interval: SeedInterval = Field(description="At 1 - alpha.")
    tested: SeedInterval = Field(description="At the level that decided.")
    p: Share = Field(description="Two-sided.")
    sign_flip_test: SignFlipTest
    more_seeds: Count | None = Field(description="Seeds still needed; null: unknown or none.")
    doubt: str = Field("", description="Seeds that lie apart and what follows; empty: none.")
    # Verdicts made before test examples were looked at have none of the following.
    about: About = Field("this_test_set", description="What its mean is taken over.")
    covers: Covers = Field("training", description="What interval and tested cover.")
    over_seeds: SeedInterval | None = Field(None, description="By the seeds alone, at 1 - alpha.")
    sample: SampleRecord | None = None
    more_examples: Count | None = Field(None, description="Test examples needed; null: as above.")


class ModelTestRecord(_Part):
    """McNemar's test of two arms at each seed."""

    arms: tuple[str, ...]
    by_seed: tuple[Discordance, ...] = Field(description="Examples only one arm decides right.")
    median_p: Share
    significant_seeds: Count = Field(description="Seeds with p < 0.05, uncorrected.")


class CheckRecord(_Part):
    """One computed number beside the stated one."""

    conclusion: Conclusion
    reading: Reading | None = Field(description="How printed digits relate to the number.")
    says: str
    compute: str
    of: tuple[Value, ...]
    relation: Relation
    stated: str | float = Field(description="Digits as printed (text), or a number.")
    tolerance: Number = Field(ge=0)
    computed: Number


class CellRecord(_Part):
    """One arm under one metric on the test split."""

    arm: str
    metric: str
    interval: SeedInterval = Field(description="At 1 - alpha.")
    baseline: Number = Field(description="Best constant prediction, mean over finished runs.")
    # The two below are empty in verdicts made before they were recorded.
    values: tuple[Number, ...] = Field((), description="One per seed, null where undefined.")
    baselines: tuple[Number, ...] = Field((), description="One per seed, null where undefined.")
    covers: Covers = Field("training", description="What interval covers.")
    over_seeds: SeedInterval | None = Field(None, description="By the seeds alone, at 1 - alpha.")
    sample: SampleRecord | None = None
    standing: Standing = Field("unknown", description="To the best arm; unknown: not compared.")


class ArmRecord(_Part):
    """What an arm sets, and what is known of it beside its scores."""

    overrides: dict[str, Value]
    gradient_norm: Number = Field(description="L2 norm of the loss gradient on one's logits.")
    gradient_norms: tuple[Number, ...] = Field((), description="The same, one per seed.")
    gradient_ratio: Number = Field(description="To the first arm of the case.")
    chosen: dict[str, Count] = Field(description="Value of the grid -> seeds that chose it.")
    curves: dict[str, tuple[tuple[Number, Number], ...]] = Field(
        description="Metric -> (epoch, mean over seeds on the validation split)."
    )


class VerdictRecord(_Part):
    """verdict.json."""

    schema_version: Literal[1]
    slug: str
    claim_sha256: str = Field("", description="Of the claim file's text; empty: not recorded.")
    verdict: Word
    why: str
    says: str
    statement: str
    explanation: str
    would_change: str
    source: Source
    protocol: str | None
    protocol_says: str
    redrawn: tuple[str, ...] = Field(description="Arms whose data are drawn anew at each seed.")
    seeds: tuple[Count, ...]
    alpha: Share = Field(description="Chance of a wrong conclusion, at each look.")
    looks: tuple[Count, ...] = Field(description="Numbers of seeds, fixed beforehand.")
    further_seeds: Count | None
    rule: dict[Word, tuple[str, ...]] = Field(min_length=1)
    hypotheses: dict[str, HypothesisRecord]
    models: dict[str, ModelTestRecord]
    checks: dict[str, CheckRecord]
    table: tuple[CellRecord, ...]
    metrics: dict[str, MetricInfo] = Field({}, description="Empty: made before it was recorded.")
    arms: dict[str, ArmRecord]
    failed: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    environment: dict[str, Any]
    environments: tuple[EnvironmentCount, ...]
    seconds: Number = Field(description="Wall-clock time of judging, training included.")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """One number per seed, and the verdict that rule and conclusions give."""
        for name, number_of in self._by_seed():
            if number_of not in (0, len(self.seeds)):
                raise ValueError(f"{name} has {number_of} numbers for {len(self.seeds)} seeds")
        judged = {name: found.conclusion for name, found in self.hypotheses.items()}
        judged |= {name: check.conclusion for name, check in self.checks.items()}
        named = {needs(item)[0] for items in self.rule.values() for item in items}
        unknown = named - set(judged)
        if unknown:
            raise ValueError(f"rule names {', '.join(sorted(unknown))}, which is not recorded")
        follows, _ = decide(self.rule, judged)
        if follows != self.verdict:
            raise ValueError(f"verdict is {self.verdict}, but rule and conclusions give {follows}")
        return self

    def _by_seed(self) -> Iterable[tuple[str, int]]:
        for name, found in self.hypotheses.items():
            yield f"hypotheses.{name}.numbers", len(found.numbers)
        for index, cell in enumerate(self.table):
            yield f"table.{index}.values", len(cell.values)
            yield f"table.{index}.baselines", len(cell.baselines)
        for name, arm in self.arms.items():
            yield f"arms.{name}.gradient_norms", len(arm.gradient_norms)
        for name, test in self.models.items():
            yield f"models.{name}.by_seed", len(test.by_seed)
