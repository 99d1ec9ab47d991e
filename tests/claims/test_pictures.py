"""Which runs are drawn, under which names, and in how many pictures."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from lossheads.claims.render import pictures
from lossheads.claims.render.pictures import draw
from lossheads.claims.render.words import finding
from lossheads.claims.runner import run_claim
from lossheads.claims.verdict_file import to_json

from .making import Engine, claim, compose, result

PNG = b"\x89PNG"


def scored(config):
    return result(config, {"accuracy_score": 0.8}, {"accuracy_score": 0.7})


@pytest.fixture
def drawn(monkeypatch):
    """Arms of every metrics picture, by title; the pictures themselves are empty."""
    seen = {}

    def noted(arms, metrics, title=""):
        seen[title] = {arm: list(runs) for arm, runs in arms.items()}
        return Figure((1, 1))

    monkeypatch.setattr(pictures, "puzzle_figure", noted)
    monkeypatch.setattr(pictures, "epochs_figure", lambda *_, **__: Figure((1, 1)))
    return seen


def only(drawn):
    (arms,) = drawn.values()
    return arms


def test_pictures_and_the_overview_are_written(tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(scored))
    assert draw(verdict, tmp_path, tmp_path / "page") == ["metrics.png", "epochs.png"]
    for name in ("metrics.png", "epochs.png"):
        assert (tmp_path / "page" / name).read_bytes().startswith(PNG)
    assert (
        len(list((tmp_path / "_overview" / "a-claim" / "puzzle").iterdir())) == 3
    )  # two arms, one baseline


def test_arms_are_drawn_under_the_claims_own_names(tmp_path, drawn):
    draw(run_claim(claim(tmp_path), compose, Engine(scored)), tmp_path, tmp_path / "page")
    assert [(arm, len(runs)) for arm, runs in only(drawn).items()] == [("a", 4), ("b", 4)]


def test_an_interruption_leaves_the_pictures_there_were(tmp_path, monkeypatch):
    verdict = run_claim(claim(tmp_path), compose, Engine(scored))
    page = tmp_path / "page"
    draw(verdict, tmp_path, page)
    (page / "metrics-other.png").write_bytes(PNG)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pictures, "puzzle_figure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            draw(verdict, tmp_path, page)
    assert {path.name for path in page.glob("*.png")} == {
        "metrics.png", "epochs.png", "metrics-other.png",
    }  # fmt: skip
    draw(verdict, tmp_path, page)
    assert {path.name for path in page.iterdir()} == {
        f"{stem}.{kind}" for stem in ("metrics", "epochs") for kind in ("png", "svg")
    }


def test_a_picture_is_titled_by_what_was_found(tmp_path, drawn):
    verdict = run_claim(claim(tmp_path), compose, Engine(scored))
    draw(verdict, tmp_path, tmp_path / "page")
    (title,) = drawn
    assert title == f"a-claim: {finding(to_json(verdict))[0]}"
    assert "fails" in title


def test_a_metric_is_drawn_that_was_measured_at_the_end_alone(tmp_path, drawn, monkeypatch):
    shown = {}

    def noted(name):
        def figure(arms, metrics, title=""):
            shown[name] = list(metrics)
            return Figure((1, 1))

        return figure

    for name in ("puzzle_figure", "epochs_figure"):
        monkeypatch.setattr(pictures, name, noted(name))
    asked = claim(tmp_path, ("seeds: 4", "seeds: 4\nshow: [mean_average_precision_score]"))
    end = {"accuracy_score": 0.8, "mean_average_precision_score": 0.7}

    def late(config):
        whole = result(config, end)
        (first, *rest) = whole.history
        val = replace(first.val, metrics={"accuracy_score": 0.1})
        return replace(whole, history=[replace(first, val=val), *rest])

    draw(run_claim(asked, compose, Engine(late)), tmp_path, tmp_path / "page")
    assert shown == {"puzzle_figure": list(reversed(end)), "epochs_figure": ["accuracy_score"]}


def test_runs_that_a_tuned_arm_did_not_choose_are_in_no_picture(tmp_path, drawn):
    rates = [f"0.{digit}" for digit in range(1, 9)]
    tuned = claim(
        tmp_path,
        (
            "same_rate",
            f"tuned_rate\ngrid: {{optimizer.lr: [{', '.join(rates)}]}}\nchoose_by: accuracy_score",
        ),
    )

    def best_at_three_tenths(config):
        score = 0.9 if config["optimizer.lr"] == "0.3" else 0.6
        return result(config, {"accuracy_score": score}, {"accuracy_score": score})

    draw(run_claim(tuned, compose, Engine(best_at_three_tenths)), tmp_path, tmp_path / "page")
    rates = [run.config["optimizer.lr"] for runs in only(drawn).values() for run in runs]
    assert rates == ["0.3"] * 8


CASES = "cases:\n" + "".join(f"  c{k}: {{dataset.classes: {k}}}\n" for k in range(2, 7)) + "arms:\n"


def test_more_arms_than_colours_are_drawn_case_by_case(tmp_path, drawn):
    verdict = run_claim(claim(tmp_path, ("arms:\n", CASES)), compose, Engine(scored))
    names = draw(verdict, tmp_path, tmp_path / "page")
    assert names == [f"{stem}-c{k}.png" for k in range(2, 7) for stem in ("metrics", "epochs")]
    assert list(drawn) == [f"a-claim, c{k}: refuted" for k in range(2, 7)]
    assert list(drawn["a-claim, c2: refuted"]) == ["c2/a", "c2/b"]
    assert all((tmp_path / "page" / name).read_bytes().startswith(PNG) for name in names)


def test_pictures_of_an_earlier_run_are_taken_away(tmp_path, drawn):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "metrics-gone.png").touch()
    verdict = run_claim(claim(tmp_path), compose, Engine(scored))
    draw(verdict, tmp_path, tmp_path / "page")
    assert not (tmp_path / "page" / "metrics-gone.png").exists()


def test_diverged_runs_and_losses_are_left_out(tmp_path, drawn):
    def flaky(config):
        status = "diverged" if config["seed"] == 2 else "finished"
        return result(config, {"accuracy_score": 0.8, "nll_loss": 0.3}, status=status)

    shown = claim(tmp_path, ("seeds: 4", "seeds: 4\nshow: [nll_loss]"))
    draw(run_claim(shown, compose, Engine(flaky)), tmp_path, tmp_path / "page")
    assert [len(runs) for runs in only(drawn).values()] == [3, 3]


def test_without_a_finished_run_nothing_is_drawn(tmp_path, drawn):
    engine = Engine(lambda config: result(config, {"accuracy_score": 0.5}, status="diverged"))
    assert draw(run_claim(claim(tmp_path), compose, engine), tmp_path, tmp_path / "page") == []
