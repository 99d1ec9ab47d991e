"""What a check found: findings, weaker hints, and what it could not look at. No torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossheads.linting.codes import CODES, Severity


@dataclass(frozen=True)
class Finding:
    """One thing found, or hinted at.

    Attributes:
        code: Stable; docs/check.md lists all.
        evidence: What was seen, with numbers.
        claim: Name of a claim that shows the consequence (`lossheads claim run NAME`), or empty.
    """

    code: str
    severity: Severity
    what: str
    evidence: str
    consequence: str
    mend: str
    claim: str

    def __str__(self) -> str:
        shown = f"; see lossheads claim run {self.claim}" if self.claim else ""
        return (
            f"{self.severity} {self.code}: {self.what}\n"
            f"  seen: {self.evidence}\n"
            f"  so: {self.consequence}\n"
            f"  mend: {self.mend}{shown}"
        )


def finding(code: str, evidence: str) -> Finding:
    """The finding of a known code."""
    known = CODES[code]
    return Finding(
        code, known.severity, known.what, evidence, known.consequence, known.mend, known.claim
    )


@dataclass(frozen=True)
class CheckReport:
    """What one batch showed.

    Attributes:
        subject: The model and loss, in words.
        findings: Empty: nothing found among what was checked.
        hints: Often meant; not counted.
        not_checked: What could not be looked at, and why.
        notes: What was seen, such as the loss beside ln C, and that the model draws random numbers.
    """

    subject: str
    findings: tuple[Finding, ...]
    hints: tuple[Finding, ...]
    not_checked: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the findings."""
        return tuple(found.code for found in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dictionaries and strings, for JSON."""
        plain = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    def __str__(self) -> str:
        count = len(self.findings)
        lines = [f"{self.subject}: {count or 'no'} finding{'s' * (count != 1)}"]
        lines += [str(found) for found in (*self.findings, *self.hints)]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"not checked: {what}" for what in self.not_checked]
        return "\n".join(lines)


def report(
    subject: str,
    found: Sequence[Finding],
    not_checked: Sequence[str],
    notes: Sequence[str],
) -> CheckReport:
    """Findings and hints apart, each code once."""
    once = list({each.code: each for each in reversed(found)}.values())[::-1]
    rank = {"error": 0, "warning": 1, "hint": 2}
    once.sort(key=lambda each: rank[each.severity])
    return CheckReport(
        subject,
        tuple(each for each in once if each.severity != "hint"),
        tuple(each for each in once if each.severity == "hint"),
        tuple(dict.fromkeys(not_checked)),
        tuple(dict.fromkeys(notes)),
    )
