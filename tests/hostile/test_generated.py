"""Keys of Hydra's section and interpolations drawn at random: none may come from a file.

`LOSSHEADS_FUZZ=N` draws N of each kind, always the same ones; without it a handful.
"""

import os
import random
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.conf import HydraConf

from .making import GLOBAL, attack

DRAWS = int(os.environ.get("LOSSHEADS_FUZZ", "12"))


def sections(node: Any, where: tuple[str, ...] = ("hydra",)) -> list[tuple[str, ...]]:
    """Every key of Hydra's own section."""
    found = [where]
    for field in fields(node):
        value = getattr(node, field.name)
        here = (*where, field.name)
        found += sections(value, here) if is_dataclass(value) else [here]
    return found


KEYS = [key for key in sections(HydraConf()) if key != ("hydra", "mode")]
VALUES: list[Any] = [
    None,
    True,
    -1,
    "elsewhere",
    "../../elsewhere",
    "/tmp/elsewhere",
    "${head}",
    "${oc.env:LOSSHEADS_TEST_SECRET}",
    [],
    ["pkg://evil"],
    {},
    {"_target_": "evil.Thing"},
    {"x": {"_target_": "pathlib.Path.touch", "self": "trap"}},
    {"version": 1, "root": {"handlers": ["a"]}, "handlers": {"a": {"()": "evil.Thing"}}},
    {"GIT_TRACE": "trap", "PATH": "theirs"},
]
RESOLVERS = ["oc.env", "oc.create", "oc.decode", "oc.select", "oc.deprecated", "oc.dict.keys"]
RESOLVERS += ["oc.dict.values", "now", "hydra", "python_version", "evil", "env"]
ARGUMENTS = ["LOSSHEADS_TEST_SECRET", "{_target_: evil.Thing}", "hydra.runtime.cwd", "", "%Y"]
ARGUMENTS += ["${head}", "a,b", "'x'", "head", "[1,2]", "NOT_THERE,${oc.env:HOME}"]
PLACES = ["head.gamma", "seed", "training.batch_size", "dataset.classes", "data_dir", "device.kind"]
PLACES += ["extra_metrics", "output_dir", "model.hidden", "new.key", "hydra.sweeper.params.seed"]


def nested(keys: list[str], value: Any) -> Any:
    return {keys[0]: nested(keys[1:], value)} if keys else value


def placed(draw: random.Random, keys: tuple[str, ...], value: Any) -> tuple[dict[str, str], str]:
    """Files that set the key to the value, in one of the ways that Hydra has."""
    group = draw.choice(["experiment", "debug", "head", "mygroup"])
    word = f"+{group}=evil" if group == "mygroup" else f"{group}=evil"
    split = draw.randint(1, len(keys)) if draw.random() < 0.5 else 0
    package, rest = ".".join(keys[:split]) or "_global_", list(keys[split:])
    text = yaml.safe_dump(nested(rest, value) if rest else {"x": value}, sort_keys=False)
    if draw.random() < 0.5:
        return {f"{group}/evil.yaml": f"# @package {package}\n{text}"}, word
    chosen = f"defaults: [/bits@{draw.choice(['', '_global_.'])}{package}: x]\n"
    return {
        f"{group}/evil.yaml": GLOBAL + chosen.replace("[", "[{").replace("]", "}]"),
        "bits/x.yaml": text,
    }, word


@pytest.mark.parametrize("number", range(DRAWS))
def test_no_key_of_hydras_section_comes_from_a_file(number: int, tmp_path: Path) -> None:
    draw = random.Random(number)
    keys, value = draw.choice(KEYS), draw.choice(VALUES)
    if keys[-1] in ("callbacks", "launcher", "sweeper", "hydra") and isinstance(value, dict):
        value = value or {"x": 1}  # an empty section sets nothing
    files, word = placed(draw, keys, value)
    attack(tmp_path, files, [word, *(["-m"] * draw.randint(0, 1))]).assert_refused()


@pytest.mark.parametrize("number", range(DRAWS))
def test_no_interpolation_but_of_a_key_comes_from_a_file(number: int, tmp_path: Path) -> None:
    draw = random.Random(number)
    resolver, argument = draw.choice(RESOLVERS), draw.choice(ARGUMENTS)
    inner = f"${{{resolver}:{argument}}}"
    around = draw.choice(["{}", "x{}", "{}{}", "a ${{seed}} {}", "${{oc.select:{}}}", "\\{}"])
    text = around.replace("{}", inner).replace("{{", "{").replace("}}", "}")
    keys = draw.choice(PLACES).split(".")
    value: Any = draw.choice([text, [text], {"a": text}])
    files = {"experiment/evil.yaml": GLOBAL + yaml.safe_dump(nested(keys, value))}
    attack(tmp_path, files, ["experiment=evil"]).assert_refused("evil.yaml")
