"""Claim files: what is read, and what is refused by line and key."""

import textwrap
from pathlib import Path

import pytest

from lossheads.claims.reading import find_claim, list_claims, load_claim
from lossheads.claims.schema import as_arguments
from lossheads.errors import UserError

from .making import CLAIM, claim, write

CONFIGS = Path(__file__).parents[2] / "claims"


def test_a_claim_is_read_as_it_is_written(tmp_path):
    read = claim(tmp_path)
    assert read.slug == "a-claim"
    assert list(read.arms) == ["a", "b"]
    assert read.arms["b"].overrides == {"dataset": "digits", "head": "sigmoid_bce"}
    (better,) = read.hypotheses
    assert (better.arms, better.metrics) == (("a", "b"), ("accuracy_score",) * 2)
    assert (better.region.low, better.region.open) == (0.01, True)
    assert read.verdict == {"reproduced": ("better",)}
    assert read.source.date == "2019-11"


def test_overrides_become_command_line_words(tmp_path):
    shared = (
        "shared: {dataset: digits, optimizer.lr: 1e-3, model.hidden: [128, 64], x: true, y: null}"
    )
    read = claim(tmp_path, ("shared: {dataset: digits}", shared))
    assert as_arguments(read.arms["a"].overrides) == [
        "dataset=digits",
        "optimizer.lr=0.001",
        "model.hidden=[128,64]",
        "x=true",
        "y=null",
        "head=softmax_cce",
    ]


def test_cases_multiply_arms_and_predictions(tmp_path):
    cases = "cases:\n  small: {dataset.classes: 2}\n  large: {dataset.classes: 10}\narms:"
    read = claim(tmp_path, ("arms:\n", f"{cases}\n"))
    assert list(read.arms) == ["small/a", "small/b", "large/a", "large/b"]
    assert [p.name for p in read.hypotheses] == ["better/small", "better/large"]
    assert read.hypotheses[1].arms == ("large/a", "large/b")
    assert read.verdict["reproduced"] == ("better/small", "better/large")


def test_a_prediction_may_ask_some_cases_or_mix_them(tmp_path):
    cases = "cases:\n  small: {dataset.classes: 2}\n  large: {dataset.classes: 10}\narms:"
    more = (
        "margin: 0.01, cases: [large]}\n"
        "  grows: {metric: accuracy_score, arms: [large/a, large/b, small/a, small/b],"
        " relation: less, margin: 0}\n"
    )
    read = claim(tmp_path, ("arms:\n", f"{cases}\n"), ("margin: 0.01}\n", more))
    assert [p.name for p in read.hypotheses] == ["better/large", "grows"]


def test_a_hypothesis_says_what_it_is_about(tmp_path):
    """YAML 1.1 takes a bare `on` for true; a claim file means the word."""
    for text, about in (("", "new_examples"), (", on: this_test_set", "this_test_set")):
        (read,) = claim(tmp_path, ("margin: 0.01}\n", f"margin: 0.01{text}}}\n")).hypotheses
        assert read.about == about
    with pytest.raises(UserError, match=r"better\.on.*'new'.*new_examples"):
        claim(tmp_path, ("margin: 0.01}\n", "margin: 0.01, on: new}\n"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_claim_reads(path):
    assert load_claim(path).slug == path.stem


def test_claims_are_found_by_slug_or_path(tmp_path):
    path = write(tmp_path)
    assert find_claim("a-claim", tmp_path) == find_claim(str(path), Path("nowhere"))
    assert find_claim(str(path), Path("nowhere")).cli_name == str(path)
    assert [found.slug for found in list_claims(tmp_path)] == ["a-claim"]
    with pytest.raises(UserError, match="did you mean a-claim"):
        find_claim("a-clam", tmp_path)
    (tmp_path / "a-claim-too.yaml").write_text(path.read_text())
    assert [found.slug for found in list_claims(tmp_path)] == ["a-claim", "a-claim-too"]


# What is changed in the claim above (which starts at line 1), and what the refusal must say.
MALFORMED = [
    ("seeds: 4", "seds: 4", r"line 11, seds: 'seds' is not a key here; did you mean seeds"),
    ("says: A is better than B.\n", "", r"line 1: says missing; allowed are source, says"),
    (
        "says: A is better",
        "says: " + "word " * 25 + "better",
        r"line 2, says: .*at most 25 words, got 28",
    ),
    ("says: A is better than B.", "says: [a]", r"line 2, says: expected text, got a list"),
    ("date: 2019-11", "dated: 2019-11", r"line 1, source\.dated: .*did you mean date"),
    ("seeds: 4", "seeds: 1", r"line 11, seeds: must be an integer of at least 2, got '1'"),
    ("seeds: 4", "seeds: 100000000", r"line 11, seeds: .* at most 1000, got '100000000'"),
    ("margin: 0.01", "margin: 1e300", r"better\.margin: must be at most 1e\+15"),
    ("margin: 0.01", "margin: " + "9" * 5000, r"better\.margin: "),
    ("[a, b]", "[" + "a, " * 1001 + "b]", r"better\.arms: must have at most 1000 entries"),
    ("says: A is better than B.", "sys: A\nsay: B", r"'sys' \(line 2\), 'say' \(line 3\) .*says"),
    ("says: A is", "sys: A is", r"'sys' is not a key here.*; says missing"),
    ("protocol: same_rate\nseeds: 4\n", "", r"protocol and seeds missing"),
    ("{reproduced: [better]}", "[" * 30 + "]" * 30, r"line 14: .*at most 20 levels"),
    (CLAIM, "#" * 300_000, r"at most 256,000 bytes"),
    ("seeds: 4", "seeds: four", r"line 11, seeds: must be an integer"),
    ("seeds: 4", "seeds: true", r"line 11, seeds: must be an integer"),
    ("same_rate", "same_rates", r"line 10, protocol: got 'same_rates'; did you mean same_rate"),
    ("same_rate", "tuned_rate", r"line 10, protocol: tuned_rate needs grid and choose_by"),
    ("seeds: 4", "seeds: 4\ngrid: {lr: [1, 2]}", r"line 12, grid: only protocol tuned_rate"),
    (
        "relation: greater",
        "relation: bigger",
        r"line 13, hypotheses\.better\.relation: .*greater, less",
    ),
    ("margin: 0.01", "value: 0.01", r"relation: greater of 2 arms needs margin"),
    ("margin: 0.01", "margin: -1", r"better\.margin: must be at least 0, got -1"),
    ("margin: 0.01", "margin: .nan", r"margin: .*finite number|expected a number"),
    ("margin: 0.01", "margin: wide", r"margin: expected a number, got 'wide'"),
    (
        "margin: 0.01",
        "margin: 0.01, tolerance: 1",
        r"tolerance: greater takes margin, not tolerance",
    ),
    ("greater, margin: 0.01", "equals, value: 1", r"relation: equals of 2 .* value and tolerance"),
    ("arms: [a, b]", "arms: [a]", r"relation: greater of 1 arm needs value and margin"),
    ("https://example.org/1", "javascript:alert(1)", r"line 1, source\.url: .*'javascript:al"),
    ("https://example.org/1", "https:", r"source\.url: got 'https:', .*https://"),
    ("https://example.org/1", "example.org/1", r"source\.url: got 'example"),
    ("https://example.org/1", "https://[example", r"source\.url: got 'https://\[ex"),
    ("arms: [a, b]", "arms: [a, c]", r"line 13, hypotheses\.better\.arms: arm 'c' is unknown"),
    ("arms: [a, b]", "arms: [a, a]", r"arms: the same arm under the same metric is listed twice"),
    ("arms: [a, b]", "arms: [a, b, a]", r"arms: name one arm, two .* or four"),
    ("arms: [a, b]", "arms: a", r"arms: expected a list .* got 'a'"),
    ("metric: accuracy_score", "metric: [x, y, z]", r"metric: 3 metrics for 2 arms"),
    (
        "{reproduced: [better]}",
        "{reproduced: [bettr]}",
        r"line 14, verdict\.reproduced.*did you mean better",
    ),
    ("{reproduced: [better]}", "{reproduced: []}", r"verdict rests on at least one"),
    ("{reproduced: [better]}", "{undecided: [better]}", r"'undecided' is not a verdict"),
    ("{reproduced: [better]}", "{mixd: [better]}", r"line 14, verdict\.mixd.*did you mean mixed"),
    ("{reproduced: [better]}", "{mixed: [better]}", r"line 14, verdict\.mixed: .*not NAME"),
    ("{reproduced: [better]}", "{mixed: [not better]}", r"line 14, verdict\.mixed: .*not NAME"),
    ("{reproduced: [better]}", "{reproduced: [not bettr]}", r"'bettr'.*did you mean better"),
    (
        "{reproduced: [better]}",
        "{reproduced: [nt better]}",
        r"'nt better'.*did you mean not better",
    ),
    (
        "{reproduced: [better]}",
        "{reproduced: [better, not better]}",
        r"better cannot both hold",
    ),
    (
        "{reproduced: [better]}",
        "{reproduced: [better], metric_artefact: [better]}",
        r"line 14, verdict\.metric_artefact: .*reproduced",
    ),
    (
        "{reproduced: [better]}",
        "{reproduced: [better], refuted: [better, not better]}",
        r"verdict\.refuted: better cannot both hold",
    ),
    ("greater, margin: 0.01", "equivalent, margin: 0", r"better\.margin: .*above 0, got 0"),
    ("{reproduced: [better]}", "{}", r"line 14, verdict: state at least one"),
    (
        "b: {head: sigmoid_bce}",
        "b: {head: softmax_cce}",
        r"line 9, arms\.b: this arm and a are identical",
    ),
    (
        "b: {head: sigmoid_bce}",
        "b: {dataset: blobs}",
        r"line 9, arms\.b\.dataset: it is set for every arm",
    ),
    ("b: {head: sigmoid_bce}", "B!: {head: x}", r"line 9, arms\.B!: 'B!' is not a name"),
    (
        "b: {head: sigmoid_bce}",
        "b: {head: x, head: y}",
        r"line 9, arms\.b\.head: duplicate key",
    ),
    ("b: {head: sigmoid_bce}", "b: [head]", r"line 9, arms\.b: expected a mapping .* got a list"),
    ("seeds: 4", "seeds: 4\nchecks: {c: {of: [1]}}", r"line 12, checks\.c: compute missing"),
    ("seeds: 4", "seeds: 4\nchecks: {c: {compute: s}}", r"checks\.c: a check needs `printed`"),
    (
        "seeds: 4",
        "seeds: 4\nchecks: {c: {compute: s, printed: '0,7'}}",
        r"'0,7' are not digits as printed",
    ),
    (
        "seeds: 4",
        "seeds: 4\nchecks: {better: {compute: s, printed: '1'}}",
        r"checks\.better: a hypothesis has this name already",
    ),
    ("seeds: 4", "seeds: [4", r"line 12: "),
    ("seeds: 4", "seeds: 4\n3: x", r"line 12, 3: '3' is not a key here; allowed: source, says"),
    ("same_rate", "zzz", r"line 10, protocol: got 'zzz'; allowed: same_rate, tuned_rate$"),
    (CLAIM, "", r"the file is empty"),
    (CLAIM, "just a word", r"line 1: expected a mapping .* got 'just a word'"),
    ("arms:\n", "sides:\n", r"line 7, sides: 'sides' is not a key here"),
]


@pytest.mark.parametrize(
    ("old", "new", "message"), MALFORMED, ids=[f"{m[1][:30]}" for m in MALFORMED]
)
def test_malformed_files_are_refused_by_line_and_key(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message) as refused:
        claim(tmp_path, (old, new))
    assert str(refused.value).startswith("a-claim.yaml")
    assert "\n" not in str(refused.value)


WORSE = "  worse: {metric: accuracy_score, arms: [b, a], relation: greater, margin: 0.01}\n"


@pytest.mark.parametrize(
    "rule",
    [
        "{reproduced: [better], mixed: [better, not worse]}",
        "{reproduced: [better, worse], metric_artefact: [worse, better]}",
        "{reproduced: [worse], metric_artefact: [better], refuted: [better, worse]}",
    ],
)
def test_a_verdict_that_an_earlier_one_always_forestalls_is_refused(tmp_path, rule):
    last = rule.rpartition(":")[0].rpartition(" ")[2]
    changes = ("margin: 0.01}\n", f"margin: 0.01}}\n{WORSE}"), ("{reproduced: [better]}", rule)
    with pytest.raises(UserError, match=rf"line 15, verdict\.{last}: .*first"):
        claim(tmp_path, *changes)


def test_a_verdict_that_needs_more_may_come_first(tmp_path):
    rule = "{reproduced: [better, worse], metric_artefact: [better]}"
    changes = ("margin: 0.01}\n", f"margin: 0.01}}\n{WORSE}"), ("{reproduced: [better]}", rule)
    assert list(claim(tmp_path, *changes).verdict) == ["reproduced", "metric_artefact"]


HOSTILE = [
    ("{head: sigmoid_bce}", "!!python/object/apply:os.system ['touch {trap}']", "names a type"),
    ("sigmoid_bce", "!!python/name:os.system x", "names a type"),
    ("says: A is better than B.", "says: !!python/object/new:os.system [x]", "names a type"),
    ("[better]", "[!!python/name:os.system x]", "names a type"),
    ("head: sigmoid_bce", "head._target_: os.system", "not a configuration key"),
    ("head: sigmoid_bce", "_target_: os.system", "not a configuration key"),
    ("head: sigmoid_bce", "head: {_target_: os.system}", "expected a single value"),
    ("head: sigmoid_bce", "trust: [os]", "is set by whoever runs the claim"),
    ("head: sigmoid_bce", "output_dir: elsewhere", "is set by whoever runs the claim"),
    ("head: sigmoid_bce", "hydra.run.dir: elsewhere", "is set by whoever runs the claim"),
    ("head: sigmoid_bce", "data_dir: elsewhere", "is set by whoever runs the claim"),
    ("head: sigmoid_bce", "seed: 7", "the seed is set by the runner"),
    ("head: sigmoid_bce", "+head: x", "not a configuration key"),
    ("head: sigmoid_bce", "~head: x", "not a configuration key"),
    ("head: sigmoid_bce", "head@model: x", "not a configuration key"),
    ("sigmoid_bce", '"${oc.env:HOME}"', "not a plain value"),
    ("sigmoid_bce", '"x,trust=[os]"', "not a plain value"),
    ("sigmoid_bce", '"x\' trust=[os]"', "not a plain value"),
    ("sigmoid_bce", '"x\\ntrust=[os]"', "not a plain value"),
    ("sigmoid_bce", "../../x", "not a plain value"),
    ("sigmoid_bce", "/etc/passwd", "not a plain value"),
    ("sigmoid_bce", "[[os]]", "expected a single value"),
    ("{head: sigmoid_bce}", "&anchor {head: x}\n  c: *anchor", "aliases .* not allowed"),
    ("{head: sigmoid_bce}", "{<<: {head: x}}", "not a configuration key|is not a key"),
    ("{head: sigmoid_bce}", "[" * 3000 + "]" * 3000, "at most 20 levels"),
]


@pytest.mark.parametrize(("old", "new", "message"), HOSTILE, ids=[h[1][:30] for h in HOSTILE])
def test_hostile_files_execute_nothing_and_reach_no_override(tmp_path, old, new, message):
    trap = tmp_path / "trap"
    with pytest.raises(UserError, match=message):
        claim(tmp_path, (old, new.replace("{trap}", str(trap))))
    assert not trap.exists()


def test_the_trap_would_spring_under_an_unsafe_loader(tmp_path):
    # Without this the test above could pass because its trap is no trap.
    import yaml

    trap = tmp_path / "trap"
    yaml.unsafe_load(f"!!python/object/apply:os.system ['touch {trap}']")
    assert trap.exists()


def test_binary_files_and_missing_files_are_refused(tmp_path):
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"b\.yaml cannot be read"):
        load_claim(tmp_path / "b.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load_claim(tmp_path / "nothing.yaml")


def test_a_claim_of_checks_alone_needs_no_arms(tmp_path):
    text = """\
    source: {document: d, url: "https://example.org", date: 2020, framework: none}
    says: One number.
    statement: The number is right.
    explanation: Arithmetic.
    would_change: Nothing.
    checks:
      half: {compute: sigmoid, of: [0], printed: "0.5"}
    verdict: {reproduced: [half]}
    """
    read = load_claim(write(tmp_path, text))
    assert read.arms == {}
    (check,) = read.checks
    assert (check.value, check.tolerance, check.of) == (0.5, 0.05, (0,))
    with pytest.raises(UserError, match=r"line 9, seeds: this key needs `arms`"):
        load_claim(write(tmp_path, textwrap.dedent(text) + "seeds: 3\n"))


def test_printed_digits_carry_their_own_tolerance(tmp_path):
    text = CLAIM.replace("seeds: 4", 'seeds: 4\nchecks: {c: {compute: s, printed: "2.99e-98"}}')
    (check,) = load_claim(write(tmp_path, text)).checks
    assert check.value == 2.99e-98
    assert check.tolerance == pytest.approx(5e-101)
