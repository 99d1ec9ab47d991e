"""lossheads heads: what each head does, with a tiny worked example."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lossheads.absent_losses import why_absent
from lossheads.analysis.terminal import wide_console
from lossheads.cli.arguments import Parser
from lossheads.errors import UserError, near_matches

if TYPE_CHECKING:
    from lossheads.heads.examples import HeadExample


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads heads [NAME …]`; returns the exit status."""
    parser = Parser(
        prog="lossheads heads", description="What each head does, with a tiny worked example."
    )
    parser.add_argument("names", nargs="*", help="only these; default: all")
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="YAML of your own, FOLDER/head/NAME.yaml; its package needs --trust",
    )
    given = parser.parse_args(words)

    from lossheads.heads.examples import worked_examples

    examples = {example.name: example for example in worked_examples()}
    examples |= _own_examples([Path(folder) for folder in given.config_dir], trust)
    for name in given.names:
        if name not in examples:
            rest = why_absent(name) or near_matches(name, examples)
            raise UserError(f"heads has no {name!r}; {rest}")
    _print([examples[name] for name in given.names or examples])
    return 0


def _own_examples(folders: Sequence[Path], trust: Sequence[str]) -> "dict[str, HeadExample]":
    from lossheads.heads.examples import own_example
    from lossheads.runs.build import head_builder

    found = {}
    for folder in folders:
        if not (folder / "head").is_dir():
            raise UserError(f"heads finds no folder {folder / 'head'}: name one that holds head/")
        for file in sorted((folder / "head").glob("*.yaml")):
            found[file.stem] = own_example(file.stem, head_builder(file, trust))
    return found


def _print(examples: "Sequence[HeadExample]") -> None:
    console = wide_console()
    for outcome in dict.fromkeys(example.outcome for example in examples):
        shown = Table(title=outcome, title_justify="left", show_lines=True)
        for column in ("head", "logits → scores", "label", "loss", "decision", "what it does"):
            shown.add_column(column, overflow="fold")
        for example in examples:
            if example.outcome == outcome:
                shown.add_row(
                    example.name,
                    f"{_format(example.logits)}\n→ {_format(example.scores)}",
                    _format(example.labels),
                    f"{example.loss:.4f} {example.unit}",
                    _format(example.decision),
                    example.explanation,
                )
        console.print(shown)


def _format(value: Any) -> str:
    """Numbers with two decimals, labels as they are; nested lists in brackets."""
    if isinstance(value, list):
        return f"({', '.join(map(_format, value))})"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
