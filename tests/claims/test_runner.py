"""Claims run against an engine that trains nothing: what is asked for, and what is read."""

import math
import re
from dataclasses import replace

import pytest
from hydra.errors import HydraException

from lossheads.claims.runner import run_claim
from lossheads.errors import UserError
from lossheads.records import MetricInfo, Result
from lossheads.runs.messages import message_and_status

from .making import Engine, claim, compose, result

SHARE = MetricInfo(True, 1.0, 0.0, 1.0)
# By seed, what arm a (softmax_cce) and b (sigmoid_bce) score. Seeds differ far more than arms.
LEVELS = [0.50, 0.90, 0.70, 0.60, 0.80, 0.55, 0.75, 0.65, 0.85, 0.95]
WOBBLE = [0.001, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001, 0.002, -0.002, 0.0]


def score(config, gap=0.03):
    seed = int(config["seed"])
    lead = gap + WOBBLE[seed % 10] if config["head"] == "softmax_cce" else 0.0
    return LEVELS[seed % 10] + lead


def steady(config, gap=0.03) -> Result:
    return result(config, {"accuracy_score": score(config, gap)})


def test_every_arm_is_asked_for_at_every_seed_in_one_call(tmp_path):
    engine = Engine(steady)
    verdict = run_claim(claim(tmp_path), compose, engine)
    assert len(engine.calls) == 1
    heads = ("softmax_cce", "sigmoid_bce")
    assert sorted(engine.asked) == sorted((head, seed) for head in heads for seed in range(4))
    assert (verdict.verdict, verdict.seeds) == ("reproduced", (0, 1, 2, 3))
    assert verdict.findings[0].numbers == pytest.approx((0.031, 0.029, 0.032, 0.028))


def test_swapping_two_arms_is_seen(tmp_path):
    swapped = claim(tmp_path, ("arms: [a, b]", "arms: [b, a]"))
    assert run_claim(swapped, compose, Engine(steady)).verdict == "refuted"


def test_an_engine_that_mixes_up_its_results_is_caught(tmp_path):
    class Mixed(Engine):
        def __call__(self, configs):
            return super().__call__(configs)[::-1]

    with pytest.raises(RuntimeError, match="asked for run"):
        run_claim(claim(tmp_path), compose, Mixed(steady))


def test_a_result_that_names_the_resolved_device_is_taken(tmp_path):
    engine = Engine(lambda config: steady({**config, "device": "cpu"}))
    on_auto = claim(tmp_path, ("{dataset: digits}", "{dataset: digits, device: auto}"))
    assert run_claim(on_auto, compose, engine).verdict == "reproduced"


def test_the_test_split_judges_and_validation_does_not(tmp_path):
    def misleading(config):
        ahead = 0.9 if config["head"] == "sigmoid_bce" else 0.1
        return result(config, {"accuracy_score": score(config)}, {"accuracy_score": ahead})

    verdict = run_claim(claim(tmp_path), compose, Engine(misleading))
    assert verdict.verdict == "reproduced"
    assert verdict.cells[0].interval.mean == pytest.approx(0.675 + 0.03)


def test_dropping_the_pairing_would_be_seen(tmp_path):
    # The seeds' own spread (0.17) is 100 times the spread of differences: only pairs decide.
    finding = run_claim(claim(tmp_path), compose, Engine(steady)).findings[0]
    assert finding.interval.deviation < 0.002
    assert finding.conclusion == "holds"


TUNED = (
    ("same_rate", "tuned_rate\ngrid: {optimizer.lr: [0.1, 0.3, 1.0]}\nchoose_by: nll_loss"),
    ("head: softmax_cce", "head: softmax_cce"),
)


def tuned(config) -> Result:
    """Arm a is best on validation at 0.3, b at 1.0; on test each is best elsewhere."""
    rate, is_a = float(config["optimizer.lr"]), config["head"] == "softmax_cce"
    loss = {0.1: 2.0, 0.3: 1.0 if is_a else 1.5, 1.0: 1.8 if is_a else 1.2}[rate]
    test = {0.1: 0.99, 0.3: 0.7 if is_a else 0.2, 1.0: 0.1 if is_a else 0.5}[rate]
    wobble = WOBBLE[int(config["seed"])] * is_a
    numbers = {"accuracy_score": test + wobble, "nll_loss": 0.0}
    return result(config, numbers, {"accuracy_score": 0.0, "nll_loss": loss})


def test_tuned_rate_chooses_on_validation_and_judges_on_test(tmp_path):
    engine = Engine(tuned)
    verdict = run_claim(claim(tmp_path, *TUNED), compose, engine)
    assert len(engine.asked) == 2 * 3 * 4
    assert [report.chosen for report in verdict.arms] == [{"0.3": 4}, {"1.0": 4}]
    assert verdict.findings[0].numbers == pytest.approx((0.201, 0.199, 0.202, 0.198))
    assert any("b chose an end of the grid in 4 of 4" in note for note in verdict.notes)


def test_a_diverged_rate_is_not_chosen_and_fails_nothing(tmp_path):
    def wild(config):
        if config["optimizer.lr"] == "0.3":
            return result(config, {"accuracy_score": 1.0, "nll_loss": 0.0}, status="diverged")
        return tuned(config)

    verdict = run_claim(claim(tmp_path, *TUNED), compose, Engine(wild))
    assert [report.chosen for report in verdict.arms] == [{"1.0": 4}, {"1.0": 4}]
    assert verdict.failed == ()
    assert "8 of 24 runs diverged" in verdict.notes


def test_a_higher_score_is_chosen_and_a_lower_loss(tmp_path):
    by_score = claim(tmp_path, *TUNED, ("choose_by: nll_loss", "choose_by: accuracy_score"))

    def rising(config):
        rate = float(config["optimizer.lr"])
        return result(config, {"accuracy_score": 0.5}, {"accuracy_score": rate})

    verdict = run_claim(by_score, compose, Engine(rising))
    assert verdict.arms[0].chosen == {"1.0": 4}


def test_a_factor_without_a_better_side_chooses_nothing(tmp_path):
    by_factor = claim(tmp_path, *TUNED, ("choose_by: nll_loss", "choose_by: fitted_temperature"))
    engine = Engine(tuned)
    factor = MetricInfo(None, 1.0)
    with pytest.raises(UserError, match=r"choose_by: .*fitted_temperature"):
        run_claim(by_factor, compose, engine, allow_metric=lambda *_: factor)
    assert engine.calls == []


def test_a_metric_that_is_not_on_validation_chooses_nothing(tmp_path):
    chosen = ("choose_by: nll_loss", "choose_by: tuned/macro_f1_score")
    tuning, engine = claim(tmp_path, *TUNED, chosen), Engine(tuned)
    with pytest.raises(UserError, match=r"choose_by: tuned/macro_f1_score .*validation"):
        run_claim(tuning, compose, engine, allow_metric=lambda *_: SHARE)
    assert engine.calls == []


def test_a_failed_run_leaves_the_verdict_open_and_is_named(tmp_path):
    def flaky(config):
        status = "diverged" if config["seed"] == 2 else "finished"
        return result(config, {"accuracy_score": score(config)}, status=status)

    verdict = run_claim(claim(tmp_path), compose, Engine(flaky))
    assert verdict.verdict == "undecided"
    assert len(verdict.failed) == 2
    assert all(line.endswith("diverged") for line in verdict.failed)


def test_curves_are_joined_by_step_not_by_place(tmp_path):
    def stopping(config):
        """Seed 0 stopped early and keeps step 10 of 10, 20, 30; the others run on."""
        run = steady(config)
        start, end = run.history
        steps = [20, 10] if config["seed"] == 0 else [10, 20, 30]
        history = [
            replace(
                start if step != steps[-1] else end,
                step=step,
                epoch=step / 10,
                val=replace(start.val, metrics={"accuracy_score": step / 100}),
            )
            for step in steps
        ]
        return replace(run, history=[start, *history])

    verdict = run_claim(claim(tmp_path), compose, Engine(stopping))
    curve = verdict.arms[0].curves["accuracy_score"]
    assert curve == [(0.0, 0.5), (1.0, pytest.approx(0.1)), (2.0, pytest.approx(0.2))]


def test_auto_stops_at_the_first_look_that_decides(tmp_path):
    engine = Engine(steady)
    verdict = run_claim(claim(tmp_path), compose, engine, seeds="auto", max_seeds=20)
    assert len(verdict.seeds) == 5
    assert verdict.alpha == pytest.approx(0.05 / 3)
    assert verdict.findings[0].tested.level == pytest.approx(1 - 0.05 / 3)


def test_auto_asks_only_for_the_seeds_it_has_not_seen(tmp_path):
    engine = Engine(lambda config: steady(config, gap=0.0105))
    verdict = run_claim(claim(tmp_path), compose, engine, seeds="auto", max_seeds=20)
    assert [len(call) for call in engine.calls] == [10, 10, 20]
    assert len(set(engine.asked)) == len(engine.asked) == 40
    assert verdict.verdict == "undecided"
    assert verdict.looks == (5, 10, 20)
    assert verdict.further_seeds is not None


def test_seeds_on_the_command_line_win_over_the_file(tmp_path):
    assert len(run_claim(claim(tmp_path), compose, Engine(steady), seeds=6).seeds) == 6
    with pytest.raises(UserError, match="got seeds=1; seeds must be at least 2"):
        run_claim(claim(tmp_path), compose, Engine(steady), seeds=1)


def test_arms_that_resolve_to_the_same_are_refused_before_training(tmp_path):
    def blind(arguments):
        return {k: v for k, v in compose(arguments).items() if k != "head"}

    engine = Engine(steady)
    with pytest.raises(UserError, match=r"line 9, arms\.b: arms a and b are identical"):
        run_claim(claim(tmp_path), blind, engine)
    assert engine.calls == []


def test_a_metric_the_outcome_lacks_is_refused_by_line_before_training(tmp_path):
    def allow(config, metric):
        if metric == "accuracy_score" and config["head"] == "sigmoid_bce":
            raise UserError("no metric 'accuracy_score'")
        return SHARE

    engine = Engine(steady)
    with pytest.raises(UserError, match=r"line 13, hypotheses\.better\.metric: no metric"):
        run_claim(claim(tmp_path), compose, engine, allow_metric=allow)
    assert engine.calls == []


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("head=sigmoid_bce", r"a-claim\.yaml, line 9, arms\.b\.head: no such thing"),
        ("dataset=digits", r"a-claim\.yaml, line 6, shared\.dataset: no such thing"),
    ],
)
def test_what_does_not_compose_is_refused_by_the_line_of_its_key(tmp_path, word, place):
    def strict(arguments):
        if word in arguments:
            raise HydraException("no such thing")
        return compose(arguments)

    engine = Engine(steady)
    with pytest.raises(HydraException) as refused:
        run_claim(claim(tmp_path), strict, engine)
    sentence, status = message_and_status(refused.value)
    assert re.fullmatch(place, sentence)
    assert status == 2
    assert engine.calls == []


def test_what_no_single_key_breaks_is_refused_by_the_line_of_the_arm(tmp_path):
    def strict(arguments):
        raise UserError("nothing goes")

    with pytest.raises(UserError) as refused:
        run_claim(claim(tmp_path), strict, Engine(steady))
    assert message_and_status(refused.value)[0] == "a-claim.yaml, line 8, arms.a: nothing goes"


def test_an_arm_that_cannot_be_built_is_refused_by_line_before_training(tmp_path):
    def allow(config):
        if config["head"] == "sigmoid_bce":
            raise UserError("it does not fit")

    engine = Engine(steady)
    with pytest.raises(UserError, match=r"line 9, arms\.b: it does not fit"):
        run_claim(claim(tmp_path), compose, engine, allow_arm=allow)
    assert engine.calls == []


def test_first_step_numbers_are_metrics_and_need_no_permission(tmp_path):
    changed = claim(
        tmp_path,
        (
            "metric: accuracy_score, arms: [a, b], relation: greater, margin: 0.01",
            "metric: first_step/gradient_norm, arms: [a], relation: equals, value: 0.9, "
            "tolerance: 0",
        ),
    )

    def allow(config, metric):
        raise UserError(metric)

    verdict = run_claim(changed, compose, Engine(steady), allow_metric=allow)
    assert verdict.verdict == "reproduced"
    assert verdict.arms[1].gradient_ratio == 1.0


def test_a_run_measured_without_the_metric_says_so(tmp_path):
    engine = Engine(lambda config: result(config, {"other_score": 0.1}))
    with pytest.raises(UserError, match=r"line 13, .*metric: run .* no metric .* mean other_score"):
        run_claim(claim(tmp_path), compose, engine)


def test_an_undefined_metric_stays_undefined(tmp_path):
    engine = Engine(lambda config: result(config, {"accuracy_score": math.nan}))
    verdict = run_claim(claim(tmp_path), compose, engine)
    assert verdict.verdict == "undecided"
    assert math.isnan(verdict.cells[0].interval.mean)


def test_each_run_is_composed_once(tmp_path):
    asked = []

    def counting(arguments):
        asked.append(arguments)
        return compose(arguments)

    engine = Engine(steady)
    run_claim(claim(tmp_path), counting, engine, seeds=10)
    assert len(asked) == len(set(map(tuple, asked))) == 20
    assert {seed for _, seed in engine.asked} == set(range(10))


def test_a_configuration_that_computes_with_the_seed_is_composed_for_each(tmp_path):
    def computing(arguments):
        config = compose(arguments)
        return config | {"dataset_seed": config["seed"] + 100}

    engine = Engine(steady)
    run_claim(claim(tmp_path), computing, engine)
    asked = [(config["seed"], config["dataset_seed"]) for config in engine.calls[0]]
    assert set(asked) == {(seed, seed + 100) for seed in range(4)}


def test_a_shown_metric_may_miss_some_arms_but_not_all(tmp_path):
    shown = claim(tmp_path, ("seeds: 4", "seeds: 4\nshow: [extra_score]"))

    def only_a(config, metric):
        if metric == "extra_score" and config["head"] != "softmax_cce":
            raise UserError("no extra_score")
        return SHARE

    def no_arm(config, metric):
        if metric == "extra_score":
            raise UserError("no extra_score")
        return SHARE

    def extra(config):
        more = {"extra_score": 0.3} if config["head"] == "softmax_cce" else {}
        return result(config, {"accuracy_score": score(config)} | more)

    verdict = run_claim(shown, compose, Engine(extra), allow_metric=only_a)
    cells = [cell.arm for cell in verdict.cells if cell.metric == "extra_score"]
    assert cells == ["a"]
    with pytest.raises(UserError, match="claim a-claim, show: no extra_score"):
        run_claim(shown, compose, Engine(extra), allow_metric=no_arm)


def with_rates(arguments):
    flat = compose(arguments)
    rate = float(flat.pop("optimizer.lr", 0.1))
    return flat | {"optimizer": {"lr": rate}, "training": {"steps": None}}


def with_gradient(config):
    """Arm a starts with a gradient norm of 0.9, b of 1.8; whatever the rate."""
    norm = 0.9 if config["head"] == "softmax_cce" else 1.8
    return replace(steady(config), first_step={"gradient_norm": norm})


MATCHED = ("seeds: 4", "seeds: 4\nmatch_first_step: true")


def test_matched_first_steps_scale_the_rates_of_later_arms(tmp_path):
    engine = Engine(with_gradient)
    verdict = run_claim(claim(tmp_path, MATCHED), with_rates, engine)
    probes, runs = engine.calls
    assert [config["training"]["steps"] for config in probes] == [0, 0]
    rates = {(config["head"], config["optimizer"]["lr"]) for config in runs}
    assert rates == {("softmax_cce", 0.1), ("sigmoid_bce", 0.05)}
    assert [report.chosen for report in verdict.arms] == [{"0.1": 4}, {"0.05": 4}]


def test_a_zero_gradient_cannot_be_matched(tmp_path):
    engine = Engine(lambda config: replace(steady(config), first_step={"gradient_norm": 0.0}))
    with pytest.raises(UserError, match=r"arm a starts with a gradient of 0\.0"):
        run_claim(claim(tmp_path, MATCHED), with_rates, engine)


def test_a_file_may_ask_for_seeds_until_decided(tmp_path):
    asking = claim(tmp_path, ("seeds: 4", "seeds: auto"))
    verdict = run_claim(asking, compose, Engine(steady))
    assert (verdict.seeds, verdict.looks) == ((0, 1, 2, 3, 4), (5, 10, 20))
    assert len(run_claim(asking, compose, Engine(steady), seeds=3).seeds) == 3
