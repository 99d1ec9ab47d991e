"""lossheads explain: one example through heads, step by step; or through trained heads."""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lossheads.absent_losses import why_absent
from lossheads.cli.arguments import Parser, data_folders
from lossheads.errors import UserError, near_matches

if TYPE_CHECKING:
    from lossheads.evaluation.explaining import Explanation
    from lossheads.heads.base import Head
    from lossheads.outcomes import Outcome

_KEYS = ("head", "logits", "target", "outcome", "base_rates", "image", "runs")
_OUTCOMES = ("one_of", "any_of", "each_one_of")


@dataclass
class _Asked:
    """What the settings say: each head with its options, the numbers of the example."""

    heads: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    logits: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    one: dict[str, str] = field(default_factory=dict)  # keys that are given once


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads explain`; returns the exit status."""
    given = _parser().parse_intermixed_args(words)
    asked = _asked(given.settings)
    if asked.runs or "image" in asked.one:
        _explain_image(asked, given, trust)
        return 0
    logits = [_numbers("logits", text) for text in asked.logits]
    if not asked.heads or not logits or "target" not in asked.one:
        raise UserError(
            "explain needs head=NAME, logits=Z,Z,… and target=, as in lossheads explain "
            "head=sigmoid_bce logits=2.1,-0.3,0.4 target=0; or image=NUMBER runs=PATH"
        )
    if len(logits) not in (1, len(asked.heads)):
        raise UserError(
            f"explain got {len(logits)} logits= for {len(asked.heads)} head=: give them once for "
            f"all heads, or once for each, in their order"
        )
    rows = logits * len(asked.heads) if len(logits) == 1 else logits
    target, kind = _target(asked.one["target"], asked.one.get("outcome"), rows[0])
    found = _explained(asked, rows, target, kind, [Path(f) for f in given.config_dir], trust)
    _show(found, given)
    return 0


def _asked(settings: Sequence[str]) -> _Asked:
    asked = _Asked()
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"explain got {word!r}: settings are KEY=VALUE")
        if key == "head":
            asked.heads.append((value, {}))
        elif key.startswith("head.") and not asked.heads:
            raise UserError(f"explain got {word} before any head=NAME: it sets an option of one")
        elif key.startswith("head."):
            asked.heads[-1][1][key.removeprefix("head.")] = value
        elif key == "logits":
            asked.logits.append(value)
        elif key == "runs":
            asked.runs += [path for path in value.split(",") if path]
        elif key not in _KEYS:
            raise UserError(f"explain has no setting {key!r}; {near_matches(key, _KEYS)}")
        elif key in asked.one:
            raise UserError(f"explain got {key} twice: give it once")
        else:
            asked.one[key] = value
    return asked


def _whole(text: str) -> int:
    if len(text) > 9:
        raise ValueError("no class has such a number")
    return int(text)


def _numbers(key: str, text: str, number: Callable[[str], Any] = float) -> list[Any]:
    """2.1,-0.3 -> [2.1, -0.3]; groups are separated by slashes: 1,2/3,4 -> [[1, 2], [3, 4]]."""
    try:
        rows = [[number(part) for part in row.split(",")] for row in text.split("/")]
    except ValueError:
        raise UserError(
            f"explain: {key} must be numbers separated by commas (groups by /), got {text!r}"
        ) from None
    if len(set(map(len, rows))) > 1:
        raise UserError(f"explain: {key} must have equally many numbers in each group, got {text}")
    return rows if len(rows) > 1 else rows[0]


def _target(text: str, outcome: str | None, logits: Sequence[Any]) -> tuple[Any, str]:
    """The label, and which outcome it is of: what the text leaves open is asked for."""
    if outcome is not None and outcome not in _OUTCOMES:
        raise UserError(f"explain knows no outcome {outcome!r}; {near_matches(outcome, _OUTCOMES)}")
    grouped = isinstance(logits[0], list)
    soft = "." in text or "e" in text
    value = _numbers("target", text, float if soft else _whole)
    if outcome is None:
        if grouped:
            outcome = "each_one_of"
        elif len(value) == 1 and not soft:
            outcome = "one_of"
        else:
            raise UserError(
                f"explain got target={text}, which leaves open what it means: add "
                f"outcome=one_of (a distribution), outcome=any_of (a 0 or 1 for each label) or "
                f"write the logits in groups, logits=1,2/3,4 (a class for each)"
            )
    if outcome == "each_one_of" and not grouped:
        raise UserError("explain: groups of logits are separated by /, as in logits=2,-1,0/1,0,3")
    if outcome == "any_of" and not soft and any(each not in (0, 1) for each in value):
        raise UserError(
            f"explain: with outcome=any_of the target is one 0 or 1 for each label, as in "
            f"target=1,0,1, got {text}"
        )
    if outcome == "one_of" and not soft:
        if len(value) != 1 or isinstance(value[0], list):
            raise UserError(f"explain: with outcome=one_of the target is one class, got {text}")
        return value[0], outcome
    if outcome == "one_of" and len(value) < 2:
        raise UserError(
            f"explain: with outcome=one_of a target that is a distribution has a share for each "
            f"class, as in target=0.3,0.7, got {text}"
        )
    return value, outcome


def _explained(
    asked: _Asked,
    rows: Sequence[Any],
    target: Any,
    kind: str,
    folders: Sequence[Path],
    trust: Sequence[str],
) -> "Explanation":
    from lossheads.evaluation.explaining import explain_heads

    heads: dict[str, Head] = {}
    for (name, options), logits in zip(asked.heads, rows, strict=True):
        called = ", ".join([name, *(f"{key}={value}" for key, value in options.items())])
        if called in heads:
            raise UserError(f"explain got head={called} twice: compare it with another one")
        heads[called] = _head(name, options, _outcome(kind, logits, target), folders, trust)
    rates = asked.one.get("base_rates")
    return explain_heads(
        rows, target, heads, base_rates=None if rates is None else _numbers("base_rates", rates)
    )


def _outcome(kind: str, logits: Sequence[Any], target: Any) -> "Outcome":
    from lossheads.outcomes import AnyOf, EachOneOf, OneOf

    if kind == "each_one_of":
        return EachOneOf(len(logits), len(logits[0]))
    if kind == "any_of":
        return AnyOf(len(target))
    return OneOf(len(target) if isinstance(target, list) else max(2, len(logits)))


def _head(
    name: str,
    options: Mapping[str, str],
    outcome: "Outcome",
    folders: Sequence[Path],
    trust: Sequence[str],
) -> "Head":
    """The head of a YAML file, shipped or of one's own, with options of the command line."""
    import yaml

    from lossheads.runs.build import head_builder
    from lossheads.runs.config import config_folder

    files = [
        file for folder in (*folders, config_folder()) for file in (folder / "head").glob("*.yaml")
    ]
    known = {file.stem: file for file in reversed(files)}
    if name not in known:
        rest = why_absent(name) or near_matches(name, known)
        raise UserError(f"explain knows no head {name!r}; {rest}")
    given: dict[str, Any] = {}
    for key, value in options.items():
        if key.startswith("_"):
            raise UserError(f"explain got head.{key}: choose another head with head=NAME")
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"explain: head.{key} must be a plain value, got {value!r}") from None
    return head_builder(known[name], trust, given)(outcome)


def _show(found: "Explanation", given: Namespace) -> None:
    from lossheads.analysis.html import write_html
    from lossheads.analysis.terminal import wide_console

    written = write_html(Path(given.html), found.html()) if given.html else None
    if given.json:
        print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        return
    console = wide_console()
    if console.width < 14 + 30 * len(found.heads):
        console.print(str(found))
    else:
        console.print(_table(found))
    if written:
        console.print(f"Written: {written}", soft_wrap=True)


def _table(found: "Explanation") -> Table:
    page = found.table()
    shown = Table(caption=page.caption, caption_justify="left", show_lines=True)
    for name in page.head:
        shown.add_column(name)
    for row in page.rows:
        shown.add_row(*("\n".join(cell.lines) or "–" for cell in row))
    return shown


def _explain_image(asked: _Asked, given: Namespace, trust: Sequence[str]) -> None:
    if asked.heads or asked.logits or not asked.runs or set(asked.one) != {"image"}:
        raise UserError(
            "explain image=NUMBER needs runs=PATH and nothing else: the runs hold logits and labels"
        )
    text = asked.one["image"]
    if not text.isdecimal() or len(text) > 12:
        raise UserError(f"explain: image must be a row of the test split, 0, 1, …, got {text!r}")

    from lossheads.analysis.bars import blocks
    from lossheads.analysis.html import write_html
    from lossheads.analysis.terminal import wide_console
    from lossheads.evaluation.explaining_image import explain_image

    paths, data = [Path(path) for path in asked.runs], data_folders(given)
    found = explain_image(paths, int(text), trust, data)
    written = write_html(Path(given.html), found.html()) if given.html else None
    if given.json:
        print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        return
    console = wide_console()
    console.print(found.title)
    if found.pixels is not None:
        for line in blocks(found.pixels, console.color_system is not None and not console.no_color):
            console.print(line, no_wrap=True, overflow="crop")
    for note in found.notes:
        console.print(note)
    for arm in found.arms:
        console.print(f"\n{arm.sentence}")
        for shown in found.bars(arm).lines(console.width - 2):
            console.print(f"  {shown}", no_wrap=True, overflow="crop")
    if found.not_drawn:
        console.print(f"\n{found.not_drawn}")
    if written:
        console.print(f"Written: {written}", soft_wrap=True)


def _parser() -> Parser:
    parser = Parser(
        prog="lossheads explain",
        usage="lossheads explain head=NAME [head=NAME …] logits=Z,Z,… target=LABEL [flags]\n"
        "       lossheads explain image=NUMBER runs=PATH[,PATH …] [flags]",
        description="Every step from logits to loss, gradient, scores and decision, with its "
        "formula; several heads beside each other. Or what each trained head says about one test "
        "image, of runs that were trained with recording.predictions=true.",
        epilog="target=0 is a class; outcome=any_of target=1,0,1 says which labels are on; "
        "logits=2,-1,0/1,0,3 target=0,2 are two groups and a class of each; outcome=one_of "
        "target=0.9,0.1,0.0 is a distribution. head.OPTION=VALUE sets an option of the head "
        "before it; base_rates=P,P,… are for heads that need them; logits= may be given once for "
        "each head.",
    )
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="see below")
    parser.add_argument("--html", metavar="FILE", help="also draw it, on one HTML page")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="YAML of your own, FOLDER/head/NAME.yaml; its package needs --trust",
    )
    parser.add_data()
    return parser
