"""One page over all claims of a folder, made from verdict folders alone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from lossheads.analysis.drawing import Scale
from lossheads.analysis.forest import Bar, strip
from lossheads.analysis.html import render, write_html
from lossheads.analysis.statistics import Interval
from lossheads.claims.render.section import Section, sections_of
from lossheads.claims.schema import Word
from lossheads.claims.verdict_file import VerdictFolder, read_verdicts

PAGE = "report.html"
_VERDICTS = (*get_args(Word), "unreadable")


@dataclass(frozen=True)
class Headline:
    """How many claims have which verdict, and where their numbers come from."""

    total: int
    counts: tuple[tuple[str, int], ...]
    made: str
    origins: tuple[tuple[str, str], ...]


def write_claims_page(folder: Path, page: Path | None = None) -> Path:
    """Write the report over the verdicts below `folder`; by default `folder`/report.html.

    Raises:
        UserError: If there is no verdict, or the page cannot be written.
    """
    return write_html(page or folder / PAGE, claims_page(read_verdicts(folder)))


def claims_page(records: Sequence[VerdictFolder]) -> str:
    """The page as text."""
    sections = sections_of(records)
    return render(
        "claims.html",
        scripts=("page.js",),
        headline=headline(records, sections),
        sections=sections,
        example=_example(),
    )


def headline(records: Iterable[VerdictFolder], sections: Sequence[Section]) -> Headline:
    """Counts by verdict, the time between the first and last runs, commits and versions."""
    counts = Counter(section.verdict for section in sections)
    verdicts = [*_VERDICTS, *sorted(set(counts) - set(_VERDICTS))]
    environments = [each for record in records for each in _environments(record.data)]
    starts = sorted(
        {each["started"] for each in environments if isinstance(each.get("started"), str)}
    )
    return Headline(
        total=len(sections),
        counts=tuple((v, counts[v]) for v in verdicts if counts[v] or v != "unreadable"),
        made=_between(starts),
        origins=tuple((name, text) for name, text in _origins(environments).items() if text),
    )


def _environments(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The environments that a verdict records, one or several."""
    found = [data["environment"], *data["environments"]] if data else []
    return [each for each in found if each]


def _between(starts: Sequence[str]) -> str:
    if not starts:
        return "No run records when it was made."
    first, last = (f"{at[:10]} {at[11:16]}" for at in (starts[0], starts[-1]))
    return f"Runs started {first} UTC." if first == last else f"Runs started {first} to {last} UTC."


def _origins(environments: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    def all_of(values: Iterable[Any]) -> str:
        return ", ".join(sorted({str(value) for value in values if value not in (None, "")}))

    packages: dict[str, set[str]] = {}
    for each in environments:
        versions = {"torch": each.get("torch"), **_mapping(each.get("packages"))}
        for name, version in versions.items():
            if version:
                packages.setdefault(str(name), set()).add(str(version))
    return {
        "commits": all_of(_commit(each) for each in environments),
        "python": all_of(each.get("python") for each in environments),
        "packages": ", ".join(f"{k} {' and '.join(sorted(v))}" for k, v in packages.items()),
        "devices": all_of(each.get("device") for each in environments),
    }


def _commit(environment: Mapping[str, Any]) -> str:
    git = _mapping(environment.get("git"))
    if not git.get("commit"):
        return str(environment.get("commit") or "")
    return str(git["commit"])[:10] + (" with changes" if git.get("changed") else "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _example() -> Any:
    """A strip that explains the strips; its numbers belong to no claim and are not shown."""
    plain, tested = (Interval(0.6, *ends, 0.95, 0.1, 3) for ends in ((0.4, 0.8), (0.3, 0.9)))
    alt = (
        "An example: a shaded region to the right of a dashed border; in it a dot on a thick line, "
        "continued by a thin line with caps; far left a solid line at zero"
    )
    return strip(Bar(plain, tested, 0.2, float("inf"), alt), Scale(-0.15, 1.1))
