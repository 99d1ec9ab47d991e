"""What differs names an arm; seeds repeat it; nobody is lost."""

from dataclasses import replace
from typing import Any

from lossheads.analysis.arms import arms_of
from lossheads.records import Result


def result(seed: int = 0, choice: str = "softmax_cce", **others: Any) -> Result:
    config = {
        "choices": {"head": choice, "dataset": "digits"},
        "head": {"_target_": choice},
        "model": {"_target_": "lossheads.models.mlp", "hidden": [8]},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
        "device": {"kind": "cpu", "threads": None},
        "seed": seed,
        "data_seed": seed,
        "output_dir": "outputs",
    } | others
    blank = Result("key", "name", "finished", config, [], [], 1.0, {})
    return replace(blank, key=str(config))


def sizes(results: list[Result]) -> dict[str, int]:
    return {name: len(group) for name, group in arms_of(results).items()}


def test_seeds_repeat_an_arm() -> None:
    found = [result(seed, head) for head in ("softmax_cce", "sigmoid_bce") for seed in range(3)]
    assert sizes(found) == {"softmax_cce": 3, "sigmoid_bce": 3}


def test_models_with_other_settings_are_other_arms() -> None:
    linear = {"_target_": "lossheads.models.linear"}
    wide = {"_target_": "lossheads.models.mlp", "hidden": [64]}
    found = sizes([result(model=linear), result(), result(model=wide)])
    assert len(found) == 3
    assert sum(found.values()) == 3


def test_threads_and_outputs_make_no_arm() -> None:
    one = {"kind": "cpu", "threads": 1}
    assert sizes([result(0), result(1, device=one), result(2, output_dir="b")]) == {
        "softmax_cce": 3
    }


def test_one_order_of_batches_for_all_seeds_is_another_arm() -> None:
    found = sizes([result(0), result(1), result(0, data_seed=5), result(1, data_seed=5)])
    assert list(found.values()) == [2, 2]


def test_heads_that_differ_in_an_option_are_told_apart() -> None:
    found = sizes([result(choice="focal"), result(0, "focal", head={"_target_": "f", "gamma": 2})])
    assert len(found) == 2


def test_a_run_asked_for_twice_is_one_repetition() -> None:
    assert sizes([result(0), result(0), result(1)]) == {"softmax_cce": 2}


def test_one_order_for_all_seeds_includes_the_seed_that_equals_it() -> None:
    assert sizes([result(0), result(1, data_seed=0), result(2, data_seed=0)]) == {"softmax_cce": 3}


def test_data_drawn_anew_with_every_seed_repeat_an_arm() -> None:
    found = [result(seed, dataset={"_target_": "d", "seed": seed}) for seed in range(3)]
    assert sizes(found) == {"softmax_cce": 3}


def test_a_lone_run_follows_what_the_other_arms_do() -> None:
    """Fixed data at seed 0 looks like data that follow the seed; nothing is made of that."""
    drawn = {"_target_": "d", "seed": 0}
    found = [result(seed, dataset=drawn) for seed in range(3)]
    found.append(result(0, "sigmoid_bce", dataset=drawn))
    assert sizes(found) == {"softmax_cce": 3, "sigmoid_bce": 1}
    alone = [result(0, head, dataset=drawn) for head in ("softmax_cce", "sigmoid_bce")]
    assert sizes(alone) == {"softmax_cce": 1, "sigmoid_bce": 1}
    redrawn = [result(seed, dataset={"_target_": "d", "seed": seed}) for seed in range(2)]
    redrawn.append(result(1, "sigmoid_bce", dataset={"_target_": "d", "seed": 1}))
    assert sizes(redrawn) == {"softmax_cce": 2, "sigmoid_bce": 1}


def test_the_same_path_with_other_contents_is_another_arm() -> None:
    before, after = {"dataset": "1a2b3c4d5e6f"}, {"dataset": "ffff00001111"}
    found = [result(seed, content=content) for content in (before, after) for seed in range(2)]
    assert sizes(found) == {
        "softmax_cce, contents=1a2b3c4d": 2,
        "softmax_cce, contents=ffff0000": 2,
    }


def test_contents_that_the_path_tells_apart_are_not_named() -> None:
    found = [
        result(dataset={"path": path}, content={"dataset": digest})
        for path, digest in (("a.npz", "1a2b3c4d"), ("b.npz", "ffff0000"))
    ]
    assert list(sizes(found)) == ["softmax_cce, path=a.npz", "softmax_cce, path=b.npz"]


def test_keys_that_end_alike_are_named_in_full() -> None:
    cnn = {"_target_": "lossheads.models.cnn", "channels": [32, 64]}
    found = [result(dataset={"channels": 1}), result(dataset={"channels": 3}, model=cnn)]
    assert list(sizes(found)) == [
        "softmax_cce, model=lossheads.models.mlp, hidden=[8], dataset.channels=1",
        "softmax_cce, model=lossheads.models.cnn, dataset.channels=3, model.channels=[32, 64]",
    ]


def chosen(name: str, target: str) -> Result:
    choices = {"head": "softmax_cce", "dataset": "digits", "model": name}
    return result(choices=choices, model={"_target_": target})


def test_a_group_goes_by_the_name_that_was_chosen() -> None:
    found = [chosen("mlp", "lossheads.models.mlp"), chosen("linear", "lossheads.models.linear")]
    assert list(sizes(found)) == ["softmax_cce, model=mlp", "softmax_cce, model=linear"]


def test_a_name_that_was_given_to_two_targets_does_not_hide_them() -> None:
    found = [chosen("mine", "mine.one"), chosen("mine", "mine.two")]
    assert list(sizes(found)) == ["softmax_cce, model=mine.one", "softmax_cce, model=mine.two"]


def test_contents_of_several_modules_are_told_apart() -> None:
    found = [
        result(content={"head": digest, "model": other})
        for digest, other in (("aaaa", "1111"), ("bbbb", "2222"))
    ]
    assert list(sizes(found)) == [
        "softmax_cce, head.contents=aaaa, model.contents=1111",
        "softmax_cce, head.contents=bbbb, model.contents=2222",
    ]


def test_the_seed_of_the_data_is_not_called_the_seed() -> None:
    found = [result(dataset={"seed": seed}) for seed in (7, 8)]
    assert list(sizes(found)) == ["softmax_cce, dataset.seed=7", "softmax_cce, dataset.seed=8"]
