"""Claim files: from YAML to a checked `Claim`, refused by file, line and key."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from lossheads.analysis.format import count_of
from lossheads.analysis.statistics import MAX_SEEDS
from lossheads.bounded_yaml import read_text
from lossheads.claims import keys
from lossheads.claims.plain_yaml import Item, parse, read_overrides, read_value
from lossheads.claims.schema import (
    DATA_SEED,
    About,
    Arm,
    Check,
    Claim,
    Hypothesis,
    Relation,
    Source,
    Value,
    Word,
    is_web,
    needs,
)
from lossheads.errors import UserError, near_matches

# What a claim without arms cannot have.
_ARM_KEYS = tuple(name for name in keys.CLAIM.optional if name != "checks")


def load_claim(path: Path) -> Claim:
    """Read one claim file.

    Raises:
        UserError: On anything unexpected, by file, line and key, with what is allowed.
    """
    keys.refuse_name(path)
    text = read_text(path, path.name, "a claim file")
    top = parse(text, path.name)
    fields = top.fields(keys.CLAIM.required, keys.CLAIM.optional)
    if "arms" not in fields and "checks" not in fields:
        top.refuse("a claim needs arms with hypotheses, or checks, or both")
    parts = _arms_and_hypotheses(top, fields)
    checks = read_checks(fields["checks"]) if "checks" in fields else ()
    hypotheses = parts.get("hypotheses", ())
    names = [hypothesis.name for hypothesis in hypotheses] + [check.name for check in checks]
    for check in checks:
        if names.count(check.name) > 1:
            raise UserError(
                f"{check.location}: a hypothesis has this name already; names must be unique"
            )
    return Claim(
        slug=path.stem,
        source=_source(fields["source"]),
        says=_paraphrase(fields["says"]),
        statement=fields["statement"].text(),
        explanation=fields["explanation"].text(),
        would_change=fields["would_change"].text(),
        verdict=_rule(fields["verdict"], names),
        checks=checks,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        **parts,
    )


def list_claims(folder: Path) -> list[Claim]:
    """Every claim file of a folder, by name.

    Raises:
        UserError: At the first file that is no claim.
    """
    claims, troubles = readable_claims(folder)
    if troubles:
        raise UserError(troubles[0])
    return claims


def readable_claims(folder: Path) -> tuple[list[Claim], list[str]]:
    """The claims of a folder, by name, and a sentence about each file that is none."""
    claims, troubles = [], []
    for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem):
        try:
            claims.append(load_claim(path))
        except UserError as error:
            troubles.append(str(error))
    return claims, troubles


def find_claim(name: str, folder: Path) -> Claim:
    """A claim of `folder` by its slug, or any claim file by its path (ending in .yaml)."""
    path = Path(name)
    slugs = [path.stem for path in folder.glob("*.yaml")]
    if path.suffix in (".yaml", ".yml"):
        if not path.exists():
            others = (str(other) for other in path.parent.glob("*.yaml"))
            near = near_matches(name, [*slugs, *others])
            raise UserError(f"claim finds no file {name}; {near}")
        return replace(load_claim(path), cli_name=name)
    if name not in slugs:
        raise UserError(f"claim {name!r} is unknown; {near_matches(name, slugs)}")
    return load_claim(folder / f"{name}.yaml")


def _source(item: Item) -> Source:
    fields = item.fields(keys.SOURCE.required, keys.SOURCE.optional)
    if "url" in fields and not is_web(fields["url"].text()):
        fields["url"].refuse(
            f"got {fields['url'].text()!r}, which is no address of the web: write https://… or "
            f"leave url out"
        )
    return Source(**{name: field.text() for name, field in fields.items()})


def _paraphrase(item: Item) -> str:
    text = item.text()
    if (n := len(text.split())) > keys.MAX_WORDS:
        item.refuse(f"must have at most {keys.MAX_WORDS} words, got {n}")
    return text


def _arms_and_hypotheses(top: Item, fields: Mapping[str, Item]) -> dict[str, Any]:
    given = [name for name in _ARM_KEYS if name in fields]
    if "arms" not in fields:
        for name in given:
            fields[name].refuse("this key needs `arms`; a claim without arms has `checks` only")
        return {"arms": {}}
    missing = [name for name in ("hypotheses", "protocol", "seeds") if name not in fields]
    if missing:
        top.refuse(f"{' and '.join(missing)} missing: arms need hypotheses, a protocol and seeds")
    arms = _arms(fields)
    hypotheses = read_hypotheses(fields["hypotheses"], arms)
    show = tuple(item.text() for item in fields["show"].items()) if "show" in fields else ()
    return {
        "arms": arms,
        "hypotheses": hypotheses,
        "seeds": _seeds(fields["seeds"]),
        "show": show,
        **_protocol(fields),
    }


def _seeds(item: Item) -> int | Literal["auto"]:
    return "auto" if item.scalar() == "auto" else item.integer(2, MAX_SEEDS)


def _protocol(fields: Mapping[str, Item]) -> dict[str, Any]:
    protocol = fields["protocol"].one_of(keys.PROTOCOLS)
    if protocol == "same_rate":
        for name in ("grid", "choose_by"):
            if name in fields:
                fields[name].refuse("only protocol tuned_rate chooses from a grid")
        matched = "match_first_step" in fields and fields["match_first_step"].flag()
        return {"protocol": protocol, "match_first_step": matched}
    if "match_first_step" in fields:
        fields["match_first_step"].refuse("tuned_rate tunes the first step too; leave this out")
    for name in ("grid", "choose_by"):
        if name not in fields:
            fields["protocol"].refuse("tuned_rate needs grid and choose_by")
    grid = read_overrides(fields["grid"])
    if len(grid) != 1 or not isinstance(values := next(iter(grid.values())), tuple):
        fields["grid"].refuse("a grid is one key with a list of values: {optimizer.lr: [0.1, 0.3]}")
    if len(set(values)) < max(2, len(values)):
        fields["grid"].refuse("a grid needs at least two values, all different")
    chooser = fields["choose_by"].text()
    return {"protocol": protocol, "grid": (next(iter(grid)), values), "choose_by": chooser}


def _arms(fields: Mapping[str, Item]) -> dict[str, Arm]:
    shared = read_overrides(fields["shared"]) if "shared" in fields else {}
    cases = named(fields["cases"]) if "cases" in fields else {}
    sides = named(fields["arms"])
    grid = read_overrides(fields["grid"]) if "grid" in fields else {}
    redrawn = _redrawn(fields["data"], cases) if "data" in fields else ()
    arms: dict[str, Arm] = {}
    for case in cases or [""]:
        around = dict(shared)
        if case:
            _join(around, read_overrides(cases[case]), cases[case], "`shared` sets it already")
        for side, item in sides.items():
            overrides = dict(around)
            _join(overrides, read_overrides(item), item, "it is set for every arm already")
            _join(dict(overrides), grid, fields.get("grid", item), "an arm sets it already")
            for other in arms.values():
                if other.overrides == overrides:
                    item.refuse(f"this arm and {other.name} are identical; change or remove one")
            if case in redrawn and DATA_SEED in overrides:
                fields["data"].refuse(f"an arm sets {DATA_SEED}, which per_seed sets: keep one")
            name = f"{case}/{side}" if case else side
            parts = [fields.get("shared"), cases.get(case), item, fields.get("grid")]
            locations = {
                key: at.location for part in parts if part for key, at in part.mapping().items()
            }
            arms[name] = Arm(name, case, overrides, case in redrawn, item.location, locations)
    return arms


def _redrawn(item: Item, cases: Collection[str]) -> Collection[str]:
    """The cases in which each seed draws its own data; "" for a claim without cases."""
    if not item.is_mapping:
        return (cases or ("",)) if item.one_of(keys.DATA) == "per_seed" else ()
    named_cases = item.fields(("per_seed",))["per_seed"].items()
    if not cases or not named_cases:
        item.refuse(f"a list names cases, and this claim has {len(cases)}; write data: per_seed")
    return tuple(case.one_of(cases) for case in named_cases)


def _join(onto: dict[str, Value], more: Mapping[str, Value], item: Item, rule: str) -> None:
    for key, value in more.items():
        if key in onto:
            item.mapping()[key].refuse(rule)
        onto[key] = value


def _rule(item: Item, names: Sequence[str]) -> dict[Word, tuple[str, ...]]:
    rule: dict[Word, tuple[str, ...]] = {}
    for verdict, entry in item.mapping().items():
        if verdict not in keys.VERDICTS:
            entry.refuse(
                f"{verdict!r} is not a verdict that a rule can give; "
                f"{near_matches(verdict, keys.VERDICTS)} (undecided needs no rule)"
            )
        wanted = [meant for needed in entry.items() for meant in _needed(needed, names)]
        if not wanted:
            entry.refuse("a verdict rests on at least one hypothesis or check")
        for both in sorted(set(wanted) & {f"not {name}" for name in wanted}):
            entry.refuse(f"{needs(both)[0]} cannot both hold and fail: keep one of the two")
        if verdict == "mixed" and len({asked for _, asked in map(needs, wanted)}) < 2:
            entry.refuse(
                "mixed needs something that holds and something that fails: [NAME, not NAME]"
            )
        for earlier, its in rule.items():
            if set(its) <= set(wanted):
                also = "" if set(its) == set(wanted) else "among others "
                entry.refuse(
                    f"this can never be given: it {also}needs all that {earlier} needs, and "
                    f"{earlier} comes first; put the one that needs more first, or remove one"
                )
        rule[cast(Word, verdict)] = tuple(wanted)
    if not rule:
        item.refuse(f"state at least one of {', '.join(keys.VERDICTS)}")
    return rule


def _needed(item: Item, names: Sequence[str]) -> list[str]:
    """One item of a rule in all cases it is asked of: `NAME`, or `not NAME`."""
    asked, conclusion = needs(item.text())
    meant = [known for known in names if known == asked or known.startswith(f"{asked}/")]
    if not meant:
        known = [f"not {name}" for name in names] if " " in asked else names
        item.refuse(f"no hypothesis or check is called {asked!r}; {near_matches(asked, known)}")
    return meant if conclusion == "holds" else [f"not {name}" for name in meant]


def named(item: Item) -> dict[str, Item]:
    """Entries under names of lower-case letters, digits, - and _; at least one."""
    found = item.mapping()
    if not found:
        item.refuse("expected at least one entry")
    for name, entry in found.items():
        if not keys.NAME.fullmatch(name):
            entry.refuse(
                f"{name!r} is not a name; names have lower-case letters, digits, - and _ only"
            )
    return found


def read_hypotheses(item: Item, arms: Mapping[str, Arm]) -> tuple[Hypothesis, ...]:
    """Hypotheses; one that names arms without a case is asked of every case."""
    cases = list(dict.fromkeys(arm.case for arm in arms.values()))
    found = []
    for name, entry in named(item).items():
        fields = entry.fields(keys.HYPOTHESIS.required, keys.HYPOTHESIS.optional)
        sides = [side.text() for side in fields["arms"].items()]
        if len(sides) not in (1, 2, 4):
            fields["arms"].refuse("name one arm, two (a - b) or four ((a - b) - (c - d))")
        if "cases" in fields or (cases != [""] and not any("/" in side for side in sides)):
            asked = (
                [c.one_of(cases) for c in fields["cases"].items()] if "cases" in fields else cases
            )
            for case in asked:
                full = [f"{case}/{side}" for side in sides]
                found.append(_hypothesis(f"{name}/{case}", entry, fields, full, arms))
        else:
            found.append(_hypothesis(name, entry, fields, sides, arms))
    return tuple(found)


def _hypothesis(
    name: str,
    entry: Item,
    fields: Mapping[str, Item],
    sides: Sequence[str],
    arms: Mapping[str, Arm],
) -> Hypothesis:
    for side in sides:
        if side not in arms:
            fields["arms"].refuse(f"arm {side!r} is unknown; {near_matches(side, arms)}")
    metrics = _metrics(fields["metric"], len(sides))
    read_under = list(zip(sides, metrics, strict=True))
    if len(set(read_under)) < len(read_under):
        fields["arms"].refuse(
            "the same arm under the same metric is listed twice; the difference would be 0"
        )
    relation = fields["relation"].one_of(keys.RELATIONS)
    value, margin = _numbers(fields, relation, len(sides))
    says = fields["says"].text() if "says" in fields else ""
    about = fields["on"].one_of(keys.ABOUT) if "on" in fields else keys.ABOUT[0]
    if about == "this_test_set" and (redrawn := [s for s in sides if arms[s].redrawn]):
        fields["on"].refuse(
            f"each seed of {redrawn[0]} draws its own data, so there is no one test set; leave on "
            f"out"
        )
    return Hypothesis(
        name=name,
        relation=cast(Relation, relation),
        arms=tuple(sides),
        metrics=metrics,
        value=value,
        margin=margin,
        says=says,
        location=entry.location,
        about=cast(About, about),
    )


def _metrics(item: Item, sides: int) -> tuple[str, ...]:
    if not item.is_list:
        return (item.text(),) * sides
    metrics = tuple(entry.text() for entry in item.items())
    if len(metrics) != sides:
        item.refuse(f"{len(metrics)} metrics for {sides} arms: give one, or one for each arm")
    return metrics


def _numbers(fields: Mapping[str, Item], relation: str, sides: int) -> tuple[float, float]:
    wanted = {"equals": ("value", "tolerance"), "equivalent": ("margin",)}.get(
        relation, ("margin",)
    )
    if sides == 1 and relation == "equivalent":
        fields["relation"].refuse(
            "equivalent needs two arms; for one arm write equals with a value"
        )
    if sides == 1 and relation != "equals":
        wanted = ("value", "margin")
    optional = ("value",) if relation in ("greater", "less") else ()
    for name in ("margin", "value", "tolerance"):
        if name in wanted and name not in fields:
            fields["relation"].refuse(
                f"{relation} of {count_of(sides, 'arm')} needs {' and '.join(wanted)}"
            )
        if name in fields and name not in (*wanted, *optional):
            fields[name].refuse(f"{relation} takes {' and '.join(wanted)}, not {name}")
    value = fields["value"].number() if "value" in fields else 0.0
    width = fields["tolerance" if relation == "equals" else "margin"]
    if width.number() < 0:
        width.refuse(f"must be at least 0, got {width.number():g}")
    if relation == "equivalent" and width.number() == 0:
        width.refuse(
            "equivalent needs a margin above 0, got 0, which no interval shows: give the largest "
            "difference that does not matter, such as 0.01"
        )
    return value, width.number()


def read_checks(item: Item) -> tuple[Check, ...]:
    """Algebraic checks."""
    return tuple(_check(name, entry) for name, entry in named(item).items())


def _check(name: str, entry: Item) -> Check:
    fields = entry.fields(keys.CHECK.required, keys.CHECK.optional)
    of = tuple(read_value(value) for value in fields["of"].items()) if "of" in fields else ()
    says = fields["says"].text() if "says" in fields else ""
    compute = fields["compute"].text()
    if "printed" in fields:
        return _printed_check(name, entry, fields, compute, of, says)
    if "relation" not in fields:
        entry.refuse("a check needs `printed`, or `relation` with its numbers")
    relation = fields["relation"].one_of(keys.CHECK_RELATIONS)
    wanted = ("value", "tolerance") if relation == "equals" else ("value",)
    for key in ("value", "tolerance"):
        if (key in wanted) != (key in fields):
            fields["relation"].refuse(f"{relation} takes {' and '.join(wanted)}")
    tolerance = fields["tolerance"].number() if "tolerance" in fields else 0.0
    return Check(
        name=name,
        compute=compute,
        of=of,
        relation=cast(Relation, relation),
        value=fields["value"].number(),
        tolerance=tolerance,
        printed=None,
        says=says,
        location=entry.location,
    )


def _printed_check(
    name: str,
    entry: Item,
    fields: Mapping[str, Item],
    compute: str,
    of: tuple[Value, ...],
    says: str,
) -> Check:
    for key in ("relation", "value", "tolerance"):
        if key in fields:
            fields[key].refuse("printed digits already state what to compare with; leave this out")
    digits = fields["printed"].text()
    if not re.fullmatch(r"-?\d*\.?\d+(e-?\d+)?", digits):
        fields["printed"].refuse(
            f'{digits!r} are not digits as printed, such as "0.731" or "2.9e-98"'
        )
    mantissa, _, power = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(power or 0) - decimals)
    return Check(
        name=name,
        compute=compute,
        of=of,
        relation="equals",
        value=float(digits),
        tolerance=unit / 2,
        printed=digits,
        says=says,
        location=entry.location,
    )
