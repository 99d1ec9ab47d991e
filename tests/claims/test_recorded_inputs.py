"""verdict.json holds every input: its conclusions and its page follow from it alone."""

import hashlib
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lossheads.analysis.estimates import UNKNOWN, Examples, Sample, estimate
from lossheads.analysis.statistics import mcnemar
from lossheads.claims.judge import ModelTest, decide, judge, judge_check
from lossheads.claims.render.markdown import to_markdown, write_verdict
from lossheads.claims.runner import run_claim
from lossheads.claims.schema import Check, Hypothesis
from lossheads.claims.verdict_file import load_verdict

from .making import Engine, claim, compose, deciding, result

INF = math.inf
REFERENCE = Path(__file__).parents[2] / "outputs" / "reference"
CASES = "cases:\n  one: {model: linear}\n  two: {model: mlp}\ndata: {per_seed: [one]}\narms:\n"
TUNED = "protocol: tuned_rate\ngrid: {rate: [1, 2]}\nchoose_by: accuracy_score"
CHECK = "seeds: 4\nchecks:\n  half: {compute: sigmoid, of: [0], printed: '0.5'}"

# Changes to the small claim, and the seeds.
SYNTHETIC = {
    "plain": ([], None),
    "cases": ([("arms:\n", CASES)], None),
    "looks": ([("margin: 0.01", "margin: 0.0495")], "auto"),
    "tuned": ([("protocol: same_rate", TUNED)], None),
    "checks": ([("seeds: 4", CHECK)], None),
    "shown": ([("seeds: 4", "seeds: 16\nshow: [f1, absent]")], None),
    "first step": ([("metric: accuracy_score", "metric: first_step/gradient_norm")], None),
    "level": ([("arms: [a, b]", "arms: [a]"), ("margin: 0.01", "margin: 0.01, value: 1")], None),
}


def scored(config):
    seed = int(config["seed"])
    lead = 0.05 + [0.001, -0.001, 0.002, -0.002][seed % 4] if config["head"][:4] == "soft" else 0.0
    run = result(config, {"accuracy_score": 0.8 + lead, "f1": 0.7 + lead / 3})
    return deciding(run, [at < 80 + 100 * lead + seed for at in range(100)])


def failing(config):
    return replace(scored(config), status="diverged") if config["seed"] == 2 else scored(config)


def rederived(data):
    """The record with everything that is computed from others computed again, a new record."""
    alpha, seeds, made = data["alpha"], data["seeds"], dict(data)
    values = {
        (cell["arm"], cell["metric"]): dict(zip(seeds, cell["values"], strict=True))
        for cell in data["table"]
        if cell.get("values")
    }
    hypotheses = []
    for name, found in data["hypotheses"].items():
        sides, metrics = tuple(found["arms"]), tuple(found["metrics"])
        if not set(zip(sides, metrics, strict=True)) <= set(values):
            # Made before values were recorded: its number at each seed stands for them.
            sides, metrics = (name,), (name,)
            values[name, name] = dict(zip(seeds, found["numbers"], strict=True))
        relation, value, margin = found["relation"], found["value"], found["margin"]
        hypotheses.append(
            Hypothesis(name, relation, sides, metrics, value, margin, "", "", found["about"])
        )
    samples = {name: sample_of(found) for name, found in data["hypotheses"].items()}
    findings = judge(hypotheses, values, seeds, alpha, samples)
    made["hypotheses"] = {
        f.hypothesis.name: data["hypotheses"][f.hypothesis.name]
        | {
            "conclusion": f.conclusion,
            "numbers": list(f.numbers),
            "interval": asdict(f.interval),
            "tested": asdict(f.tested),
            "p": f.p,
            "sign_flip_test": asdict(f.sign_flips),
            "more_seeds": f.more_seeds,
            "more_examples": f.more_examples,
            "covers": f.covers,
            "over_seeds": asdict(f.over_seeds)
            if data["hypotheses"][f.hypothesis.name]["sample"]
            else None,
        }
        for f in findings
    }
    made["table"] = [
        cell | {"interval": asdict(estimate(cell["values"], sample_of(cell)).interval(1 - alpha))}
        if cell.get("values")
        else cell
        for cell in data["table"]
    ]
    made["checks"] = {name: rechecked(check) for name, check in data["checks"].items()}
    made["models"] = {name: recounted(name, test) for name, test in data["models"].items()}
    judged = {**made["hypotheses"], **made["checks"]}
    conclusions = {name: found["conclusion"] for name, found in judged.items()}
    made["verdict"], made["why"] = decide(data["rule"], conclusions)
    return made


def sample_of(found):
    """Of a hypothesis or cell; verdicts made before it was recorded have none."""
    sample = found["sample"]
    if sample is None:
        return UNKNOWN
    parts = [part | {"edge": known(part["edge"], INF)} for part in sample["examples"]]
    low, high = known(sample["low"], -INF), known(sample["high"], INF)
    return Sample(sample["drawn"], tuple(Examples(**part) for part in parts), low, high)


def known(end, otherwise):
    return otherwise if end is None or math.isnan(end) else end


def rechecked(data):
    printed = data["stated"] if isinstance(data["stated"], str) else None
    value, computed = float(data["stated"]), data["computed"]
    check = Check("", "", (), data["relation"], value, data["tolerance"], printed, "", "")
    row = judge_check(check, computed)
    return data | {"conclusion": row.conclusion, "reading": row.reading}


def recounted(name, data):
    pairs = tuple(mcnemar(pair["first"], pair["second"]) for pair in data["by_seed"])
    test = ModelTest((name,), tuple(data["arms"]), pairs)
    counted = {"median_p": test.median_p, "significant_seeds": test.significant_seeds}
    return data | counted | {"by_seed": [asdict(pair) for pair in pairs]}


def with_nan(data):
    """Null as NaN, so that numbers that were not finite can be computed with."""
    for cell in data["table"]:
        cell["values"] = [float("nan") if v is None else v for v in cell.get("values") or []]
    for found in data["hypotheses"].values():
        found["numbers"] = [float("nan") if v is None else v for v in found["numbers"]]
    return data


def assert_follows_from_its_inputs(data):
    data = with_nan(data)
    again = rederived(data)
    assert (again["verdict"], again["why"]) == (data["verdict"], data["why"])
    for part in ("hypotheses", "checks"):
        for name, found in data[part].items():
            assert again[part][name]["conclusion"] == found["conclusion"], name
    for name, found in data["hypotheses"].items():
        now, then = again["hypotheses"][name], found
        assert now["numbers"] == pytest.approx(then["numbers"], abs=1e-12, nan_ok=True)
        assert now["p"] == pytest.approx(then["p"], rel=1e-6)
        assert now["more_seeds"] == then["more_seeds"]
    assert to_markdown(again) == to_markdown(data)


@pytest.mark.parametrize("engine", [scored, failing], ids=["scored", "failing"])
@pytest.mark.parametrize("which", list(SYNTHETIC))
def test_a_fresh_verdict_follows_from_its_json_alone(which, engine, tmp_path):
    changes, seeds = SYNTHETIC[which]
    verdict = run_claim(claim(tmp_path, *changes), compose, Engine(engine), seeds)
    page = write_verdict(verdict, tmp_path / "out", ["metrics.png"])
    data = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert to_markdown(data, ["metrics.png"]) == page.read_text()
    tested = {
        s
        for f in verdict.findings
        for s in zip(f.hypothesis.arms, f.hypothesis.metrics, strict=True)
    }
    recorded = {(cell["arm"], cell["metric"]) for cell in data["table"]}
    assert tested <= recorded
    for cell in data["table"]:
        assert len(cell["values"]) == len(cell["baselines"]) == len(data["seeds"])
    assert_follows_from_its_inputs(data)


@pytest.mark.parametrize("slug", sorted(p.parent.name for p in REFERENCE.glob("*/verdict.json")))
def test_a_committed_verdict_follows_from_its_json_alone(slug):
    assert_follows_from_its_inputs(load_verdict(REFERENCE / slug / "verdict.json"))


def test_the_record_names_the_text_that_was_asked(tmp_path):
    asked = claim(tmp_path)
    write_verdict(run_claim(asked, compose, Engine(scored)), tmp_path / "out")
    data = json.loads((tmp_path / "out" / "verdict.json").read_text())
    text = (tmp_path / "a-claim.yaml").read_bytes()
    assert data["claim_sha256"] == hashlib.sha256(text).hexdigest()


def test_values_are_those_of_the_runs_by_seed(tmp_path):
    write_verdict(run_claim(claim(tmp_path), compose, Engine(failing)), tmp_path / "out")
    data = json.loads((tmp_path / "out" / "verdict.json").read_text())
    cell = data["table"][0]
    assert cell["arm"] == "a"
    assert [v if v is None else round(v, 3) for v in cell["values"]] == [0.86, 0.86, None, 0.88]
    assert cell["baselines"] == [0.1, 0.1, None, 0.1]
    assert data["arms"]["a"]["gradient_norms"] == [0.9] * 4
