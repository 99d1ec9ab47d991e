"""The parts of a claim file that can hold or fail: predictions about arms, and checks."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from lossheads.claims.claim import Arm, Check, Prediction, Relation
from lossheads.claims.overrides import Value, read_value
from lossheads.claims.plain_yaml import Item
from lossheads.errors import near_matches

RELATIONS = ("greater", "less", "equivalent", "equals")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def named(item: Item) -> dict[str, Item]:
    """Entries under names of lower-case letters, digits, - and _; at least one."""
    found = item.mapping()
    if not found:
        item.refuse("at least one entry belongs here")
    for name, entry in found.items():
        if not NAME.fullmatch(name):
            entry.refuse(f"{name!r} is no name: lower-case letters, digits, - and _ only")
    return found


def read_predictions(item: Item, arms: Mapping[str, Arm]) -> tuple[Prediction, ...]:
    """Predictions; those that name arms without a case are asked of every case."""
    cases = list(dict.fromkeys(arm.case for arm in arms.values()))
    found = []
    for name, entry in named(item).items():
        fields = entry.fields(
            ("ruler", "arms", "relation"), ("margin", "value", "tolerance", "cases", "says")
        )
        sides = [side.text() for side in fields["arms"].items()]
        if len(sides) not in (1, 2, 4):
            fields["arms"].refuse("name one arm, two (a - b) or four ((a - b) - (c - d))")
        if "cases" in fields or (cases != [""] and not any("/" in side for side in sides)):
            asked = (
                [c.one_of(cases) for c in fields["cases"].items()] if "cases" in fields else cases
            )
            for case in asked:
                full = [f"{case}/{side}" for side in sides]
                found.append(_prediction(f"{name}/{case}", entry, fields, full, arms))
        else:
            found.append(_prediction(name, entry, fields, sides, arms))
    return tuple(found)


def _prediction(
    name: str,
    entry: Item,
    fields: Mapping[str, Item],
    sides: Sequence[str],
    arms: Mapping[str, Arm],
) -> Prediction:
    for side in sides:
        if side not in arms:
            fields["arms"].refuse(f"arm {side!r} is unknown; {near_matches(side, arms)}")
    rulers = _rulers(fields["ruler"], len(sides))
    read_under = list(zip(sides, rulers, strict=True))
    if len(set(read_under)) < len(read_under):
        fields["arms"].refuse("the same arm under the same ruler stands twice: nothing differs")
    relation = fields["relation"].one_of(RELATIONS)
    value, margin = _numbers(fields, relation, len(sides))
    says = fields["says"].text() if "says" in fields else ""
    relation = cast(Relation, relation)
    return Prediction(name, relation, tuple(sides), rulers, value, margin, says, entry.place)


def _rulers(item: Item, sides: int) -> tuple[str, ...]:
    if not item.is_list:
        return (item.text(),) * sides
    rulers = tuple(entry.text() for entry in item.items())
    if len(rulers) != sides:
        item.refuse(f"{len(rulers)} rulers for {sides} arms: give one, or one for each arm")
    return rulers


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
            fields["relation"].refuse(f"{relation} of {sides} arm(s) needs {' and '.join(wanted)}")
        if name in fields and name not in (*wanted, *optional):
            fields[name].refuse(f"{relation} takes {' and '.join(wanted)}, not {name}")
    value = fields["value"].number() if "value" in fields else 0.0
    width = fields["tolerance" if relation == "equals" else "margin"]
    if width.number() < 0:
        width.refuse("a margin is 0 or more")
    return value, width.number()


def read_checks(item: Item) -> tuple[Check, ...]:
    """Algebraic checks."""
    return tuple(_check(name, entry) for name, entry in named(item).items())


def _check(name: str, entry: Item) -> Check:
    fields = entry.fields(("compute",), ("of", "printed", "relation", "value", "tolerance", "says"))
    of = tuple(read_value(value) for value in fields["of"].items()) if "of" in fields else ()
    says = fields["says"].text() if "says" in fields else ""
    compute = fields["compute"].text()
    if "printed" in fields:
        return _printed_check(name, entry, fields, compute, of, says)
    if "relation" not in fields:
        entry.refuse("a check needs `printed`, or `relation` with its numbers")
    relation = fields["relation"].one_of(("greater", "less", "equals"))
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
        place=entry.place,
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
            fields[key].refuse("printed digits say what to compare with: leave this out")
    digits = fields["printed"].text()
    if not re.fullmatch(r"-?\d*\.?\d+(e-?\d+)?", digits):
        fields["printed"].refuse(f'{digits!r} are no printed digits, such as "0.731" or "2.9e-98"')
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
        place=entry.place,
    )
