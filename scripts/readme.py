"""Fill the marked parts of README.md from outputs/reference: no number there is typed by hand.

python scripts/readme.py            rewrite README.md
python scripts/readme.py --check    exit 1 when it would change
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossheads.analysis.html import humanize
from lossheads.claims.render.words import finding, found_in_words
from lossheads.claims.verdict_file import load_verdict

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "outputs" / "reference"
PUZZLE = "bce-97-vs-cce-90"


def puzzle() -> str:
    """Arm × metric of the reference run: mean, 95 % interval, baseline."""
    verdict = _read(PUZZLE)
    cells = verdict["table"]
    metrics = list(dict.fromkeys(cell["metric"] for cell in cells))
    arms = list(dict.fromkeys(cell["arm"] for cell in cells))
    at = {(cell["arm"], cell["metric"]): cell for cell in cells}
    names = {arm: arm.split("/") for arm in arms}
    networks = list(dict.fromkeys(names[arm][0] for arm in arms))
    heads = list(dict.fromkeys(names[arm][-1] for arm in arms))
    lines = [f"| network | metric | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    for network in networks:
        for metric in metrics:
            shown = " | ".join(_cell(at[f"{network}/{head}", metric]) for head in heads)
            lines.append(f"| {network} | `{metric}` | {shown} |")
    n = cells[0]["interval"]["n"]
    caption = (
        f"Test split (10,000 images), mean with its 95 % interval over n = {n} seeds and the draw "
        f"of the test images; in brackets the baseline, the score of the best constant prediction. "
        f"Verdict: **{humanize(verdict['verdict'])}**: {finding(verdict)[0].partition(': ')[2]}"
    )
    return "\n".join([*lines, "", caption])


def claims() -> str:
    """One row per committed verdict."""
    lines = ["| claim | made in | verdict | evidence |", "|---|---|---|---|"]
    for folder in sorted(REFERENCE.iterdir()):
        if (folder / "verdict.json").is_file():
            verdict = _read(folder.name)
            link = f"[`{folder.name}`](outputs/reference/{folder.name}/verdict.md)"
            where = _where(verdict["source"])
            found = humanize(verdict["verdict"])
            evidence = found_in_words(verdict).replace("|", "\\|")
            lines.append(f"| {link} | {where} | {found} | {evidence} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """README with its marked parts made anew."""
    parts: dict[str, Callable[[], str]] = {"puzzle": puzzle, "claims": claims}
    for name, make in parts.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"README.md needs exactly one part marked {name}")
        head, rest = text.split(begin)
        text = f"{head}{begin}{make()}\n{end}{rest.split(end)[1]}"
    return text


def _read(slug: str) -> dict[str, Any]:
    return load_verdict(REFERENCE / slug / "verdict.json")


def _where(source: dict[str, str]) -> str:
    """Document and date; linked where there is an address."""
    text = ", ".join(filter(None, (source["document"], source["date"])))
    return f"[{text}]({source['url']})" if source["url"] else text


def _cell(cell: dict[str, Any]) -> str:
    interval = cell["interval"]
    ends = f"[{interval['low']:.4f}, {interval['high']:.4f}]"
    return f"{interval['mean']:.4f} {ends} ({cell['baseline']:.2f})"


def main() -> None:
    """Rewrite or check."""
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in sys.argv[1:]:
        sys.exit(before != after)
    path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
