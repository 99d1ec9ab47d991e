"""Numbers, intervals and hypotheses as people read them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from lossheads.analysis.format import count_of as count_of
from lossheads.analysis.format import number as number
from lossheads.analysis.format import percent as percent
from lossheads.analysis.format import sign_flip_text as sign_flip_text
from lossheads.analysis.statistics import Interval, smallest_flip_p
from lossheads.claims.judge import (
    ArmMetric,
    ArmSummary,
    CheckRow,
    EnvironmentCount,
    Finding,
    ModelTest,
    Verdict,
)
from lossheads.claims.overrides import Overrides, Value, as_arguments
from lossheads.claims.schema import DATA_SEED, Arm, Claim, Hypothesis, Source


def humanize(word: str) -> str:
    """A verdict word as people read it: metric_artefact -> metric artefact."""
    return word.replace("_", " ")


def relation_text(hypothesis: Hypothesis) -> str:
    """The hypothesis in symbols, with its margin."""
    same = len(set(hypothesis.metrics)) == 1
    names = [
        arm if same else f"{metric}({arm})"
        for arm, metric in zip(hypothesis.arms, hypothesis.metrics, strict=True)
    ]
    if len(names) == 4:
        contrast = f"({names[0]} - {names[1]}) - ({names[2]} - {names[3]})"
    else:
        contrast = " - ".join(names)
    value, margin = hypothesis.value, hypothesis.margin
    if hypothesis.relation == "greater":
        right = f"> {value + margin:.6g}"
    elif hypothesis.relation == "less":
        right = f"< {value - margin:.6g}"
    else:
        right = f"within {value:.6g} ± {margin:.3g}"
    return f"{hypothesis.metrics[0]}: {contrast} {right}" if same else f"{contrast} {right}"


def interval_text(interval: Interval) -> str:
    """0.8801 [0.8790, 0.8812]"""
    return f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"


def counts_text(test: ModelTest) -> str:
    """In how many seeds the two models differ, and the median p."""
    return (
        f"p < 0.05 in {test.significant_seeds} of {len(test.by_seed)} seeds, "
        f"median p = {number(test.median_p)}"
    )


def data_text(verdict: Verdict) -> str:
    """What the intervals cover: the luck of training, or that of drawing the data as well."""
    arms = verdict.claim.arms.values()
    redrawn = list(dict.fromkeys(arm.case or arm.name for arm in arms if arm.redrawn))
    fixed = list(dict.fromkeys(arm.case or arm.name for arm in arms if not arm.redrawn))
    if not redrawn:
        return (
            "All seeds share one data set: the intervals cover the luck of training (start and "
            "order), not that of another sample of data."
        )
    drawn = "Each seed draws its own data, one draw for all arms of a case: the intervals cover"
    if not fixed:
        return f"{drawn} the luck of the draw and of training."
    return (
        f"{drawn} the luck of the draw and of training for {', '.join(redrawn)}. All seeds of "
        f"{', '.join(fixed)} share one data set: there they cover the luck of training alone."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )


def to_markdown(verdict: Verdict, figures: Sequence[str] = ()) -> str:
    """The page, in Markdown."""
    claim = verdict.claim
    parts = [
        f"# {claim.slug}: {humanize(verdict.verdict)}",
        f"**What was said.** {claim.says}",
        _source_text(claim.source),
        f"**What is put to the test.** {claim.statement}",
    ]
    if claim.arms:
        parts += _contest_text(verdict, figures)
    if verdict.checks:
        parts += ["## Numbers", _checks_table(verdict.checks)]
    parts += [
        "## Verdict",
        f"**{humanize(verdict.verdict)}**, because {verdict.why}." + _more(verdict),
        _rule_text(claim.verdict),
        *(f"Failed: {line}." for line in verdict.failed),
        "## What theory says",
        claim.explanation,
        "## What would change our mind",
        claim.would_change,
        "## To repeat",
        _commands(verdict),
        _environments_text(verdict.environments),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _source_text(source: Source) -> str:
    where = [source.document, f"<{source.url}>" if source.url else "", source.date]
    return f"Source: {', '.join(part for part in where if part)}; {source.framework}."


def _contest_text(verdict: Verdict, figures: Sequence[str]) -> list[str]:
    n = len(verdict.seeds)
    return [
        "## What we ran",
        _arms_text(verdict),
        "## Every arm under every metric",
        f"Test split, mean over n = {n} seeds with its {percent(1 - verdict.alpha)} t interval; "
        f"the baseline is what an answer that never looks at the input scores. {data_text(verdict)}",
        _cells_table(verdict.cells),
        *(f"![{Path(name).stem}]({name})" for name in figures),
        "## Hypotheses",
        _levels_text(verdict),
        _findings_table(verdict.findings, verdict.alpha),
        _sayings(verdict.findings),
        *_models_text(verdict.models),
    ]


def _sayings(findings: Sequence[Finding]) -> str:
    """What each hypothesis means in words, once for all cases it is asked of."""
    said = {f.hypothesis.name.split("/")[0]: f.hypothesis.says for f in findings}
    return "\n".join(f"* {name}: {words}" for name, words in said.items() if words)


def _arms_text(verdict: Verdict) -> str:
    claim = verdict.claim
    arms = list(claim.arms.values())
    shared = [item for item in arms[0].overrides.items() if all(_sets(arm, item) for arm in arms)]
    rows = [_arm_row(claim.arms[report.name], dict(shared), report) for report in verdict.arms]
    head = ("arm", "what it sets", "gradient at the first step", "ratio", "chosen")
    parts = [
        f"Protocol {claim.protocol}. {_protocol_text(claim)}",
        f"All arms: `{' '.join(as_arguments(dict(shared)))}`." if shared else "",
        table(head, rows),
        "The gradient is the mean L2 norm on one example's logits before any step; its ratio is to "
        "the first arm of the same case.",
        "\n".join(f"* {note}" for note in verdict.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _protocol_text(claim: Claim) -> str:
    if claim.grid:
        key, values = claim.grid
        return (
            f"Each arm chooses {key} from {', '.join(map(str, values))} at each seed, by "
            f"{claim.choose_by} on the validation split; the test split judges."
        )
    if claim.match_first_step:
        return "Learning rates are scaled so that the first steps are equally long."
    return "All arms use the rate given; that is itself a choice, see the gradients."


def _sets(arm: Arm, item: tuple[str, Value]) -> bool:
    key, value = item
    return key in arm.overrides and arm.overrides[key] == value


def _arm_row(arm: Arm, shared: Overrides, report: ArmSummary) -> tuple[str, ...]:
    own = {key: value for key, value in arm.overrides.items() if key not in shared}
    chosen = ", ".join(f"{value} × {n}" for value, n in report.chosen.items()) or "–"
    return (
        arm.name,
        f"`{' '.join(as_arguments(own))}`" if own else "–",
        number(report.gradient_norm),
        number(report.gradient_ratio),
        chosen,
    )


def _cells_table(cells: Sequence[ArmMetric]) -> str:
    metrics = list(dict.fromkeys(cell.metric for cell in cells))
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    filled = {(cell.arm, cell.metric): _cell(cell) for cell in cells}
    rows = [(arm, *(filled.get((arm, metric), "–") for metric in metrics)) for arm in arms]
    return table(("arm", *metrics), rows)


def _cell(cell: ArmMetric) -> str:
    baseline = "" if math.isnan(cell.baseline) else f" · baseline {number(cell.baseline)}"
    return f"{interval_text(cell.interval)}{baseline}"


def _levels_text(verdict: Verdict) -> str:
    n = len(verdict.seeds)
    level = percent(1 - verdict.alpha)
    looks = (
        f"Seeds were added in looks fixed beforehand ({', '.join(map(str, verdict.looks))}) until "
        f"the verdict was decided. Each look is judged at {verdict.alpha:.3g}, 0.05 shared among "
        f"them (Bonferroni): the chance of any wrong conclusion at any look is at most 0.05, and an "
        f"interval at {level} misses at any look with a chance of at most 0.05. "
        if len(verdict.looks) > 1
        else ""
    )
    flips = "exact" if smallest_flip_p(n) == 2.0 ** (1 - n) else "9,999 random flips"
    return (
        f"{looks}Differences are paired by seed. The conclusion follows from the corrected interval "
        f"(Holm over {count_of(len(verdict.findings), 'hypothesis', 'hypotheses')}): inside the region of the hypothesis "
        f"holds, outside fails, across a border undecided. The second opinion is a sign-flip test "
        f"({flips}) at the same level; n = {n} seeds can reach p = {number(smallest_flip_p(n))} "
        f"at best, and cannot decide where the level asks for less."
    )


def _findings_table(findings: Sequence[Finding], alpha: float) -> str:
    rows = [
        (
            f.hypothesis.name,
            relation_text(f.hypothesis),
            interval_text(f.interval),
            f"{interval_text(f.tested)} at {percent(f.tested.level)}",
            f"**{f.conclusion}**" + _more_seeds(f),
            _sign_flip_cell(f),
        )
        for f in findings
    ]
    mean = f"mean [{percent(1 - alpha)}]"
    head = ("hypothesis", "in numbers", mean, "corrected interval", "conclusion", "sign flips")
    return table(head, rows)


def _more_seeds(finding: Finding) -> str:
    more = finding.more_seeds
    return f" ({count_of(more, 'more seed')})" if more else ""


def _sign_flip_cell(finding: Finding) -> str:
    second, tested = finding.sign_flips, finding.tested
    said = sign_flip_text(second.conclusion, second.smallest_p, tested.level, len(finding.numbers))
    return f"{said} (p = {number(second.p)})"


def _models_text(tests: Sequence[ModelTest]) -> list[str]:
    """McNemar's table, and in words which question it answers."""
    if not tests:
        return []
    rows = [
        (
            ", ".join(test.hypotheses),
            " against ".join(test.arms),
            ", ".join(f"{pair.first}:{pair.second}" for pair in test.by_seed),
            number(test.median_p),
            f"{test.significant_seeds} of {len(test.by_seed)}",
        )
        for test in tests
    ]
    head = ("hypotheses", "models", "only one right, by seed", "median p", "seeds with p < 0.05")
    return [
        "### The same models, example by example",
        "Do these two trained models differ on this test set? McNemar's exact test looks at the "
        "test examples that the first alone decides right, and those that the second alone does "
        "(first:second), for the two models of each seed. Whether the two *ways of training* "
        "differ is another question, and the t interval above answers it. Seeds that share a test "
        "set give p that are not independent, so p are counted and ranked, never multiplied or "
        "pooled; they are not corrected for their number, and no conclusion follows from them.",
        table(head, rows),
    ]


def _checks_table(rows: Sequence[CheckRow]) -> str:
    cells = []
    for row in rows:
        check = row.check
        stated = check.printed or f"{check.value:.10g}"
        if check.printed is None:
            sign = {"equals": "=", "greater": ">", "less": "<"}[check.relation]
            stated = f"{sign} {stated}" + (f" ± {check.tolerance:.3g}" * (sign == "="))
        word = row.reading or row.conclusion
        cells.append((check.name, check.says, stated, f"{row.computed:.10g}", f"**{word}**"))
    return table(("check", "what", "stated", "computed", "conclusion"), cells)


def _rule_text(rule: Mapping[str, Sequence[str]]) -> str:
    lines = [f"* {humanize(word)}: {', '.join(needed)}" for word, needed in rule.items()]
    return (
        "The rule, written before the runs: the first of these whose hypotheses all hold; "
        "refuted when each has one that fails; undecided otherwise.\n\n" + "\n".join(lines)
    )


def _more(verdict: Verdict) -> str:
    if verdict.verdict != "undecided" or not verdict.findings:
        return ""
    more = verdict.further_seeds
    if more is None:
        return " More seeds alone would not decide it in reasonable time."
    return (
        f" About {count_of(more, 'more seed')} would decide it, if mean and spread stay as they "
        f"are. Looking again at more of them is a second chance to err: seeds=auto pays for its "
        f"looks, a larger number chosen after this page does not."
    )


def _commands(verdict: Verdict) -> str:
    claim = verdict.claim
    again = f"lossheads claim run {quote(claim.cli_name or claim.slug)}"
    lines = [again, f"{again} seeds=auto"] if claim.arms else [again]
    grid = [f"{claim.grid[0]}={claim.grid[1][0]}"] if claim.grid else []
    for arm in list(claim.arms.values())[:2]:
        own = [f"{DATA_SEED}=0"] if arm.redrawn else []
        words = [*as_arguments(arm.overrides), *grid, *own, "seed=0"]
        lines.append(" ".join(["lossheads train", *words]))
    return "```\n" + "\n".join(lines) + "\n```"


def _environments_text(environments: Sequence[EnvironmentCount]) -> str:
    rows = [(e.commit, e.torch, e.device, e.cpu_capability, str(e.runs)) for e in environments]
    if not rows:
        return ""
    made = table(("commit", "torch", "device", "CPU capability", "runs"), rows)
    if len(rows) == 1:
        return made
    return (
        f"{made}\n\nThe runs were made in {len(rows)} environments: a difference between arms may "
        f"in part be one between these. force=true makes all of them anew in one."
    )
