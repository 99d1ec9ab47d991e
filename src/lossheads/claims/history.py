"""The versions of a claim file, as history.jsonl records them beside a verdict.

scripts/claim_history.py makes the file from git and a test holds it against git. A page says no
more of a claim than its history shows; without one it does not say when the claim was written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from lossheads.bounded_yaml import read_text
from lossheads.errors import UserError

FILE = "history.jsonl"
NOT_RECORDED = "not recorded"
COMMITTED = "a committed verdict"
NOTHING = "nothing"
WORDS_ALONE = "the verdict; words alone were changed"


@dataclass(frozen=True)
class Version:
    """One version of a claim file.

    Attributes:
        sha256: Of the file's text.
        date, commit: When and where it was committed.
        before_first_verdict: Whether that commit lies before the first that holds a verdict.
        seen: What was known of the results when it was written: "nothing", "not recorded" or words.
        changed: What it tests otherwise than the version before, in words; empty where only texts
            changed.
        verdict_before: The word of the verdict that was committed until then; empty without one.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    sha256: str
    date: str
    commit: str
    before_first_verdict: bool
    seen: str
    changed: tuple[str, ...]
    verdict_before: str = ""

    @property
    def is_told(self) -> bool:
        """Whether a page lists it: it changed what is tested, or somebody noted what was seen."""
        silent = (NOT_RECORDED, COMMITTED, NOTHING, WORDS_ALONE)
        return bool(self.changed) or self.seen not in silent

    @property
    def told(self) -> str:
        """What changed, and what was known by then."""
        until = f" The verdict until then: {self.verdict_before}." if self.verdict_before else ""
        return f"{'; '.join(self.changed) or 'only words'}. Seen before: {self.seen}.{until}"


@dataclass(frozen=True)
class History:
    """What a page says about when its claim was written; empty where nothing is recorded.

    Attributes:
        verdicts: Verdicts that stood until a version was written, each with its date, in order.
    """

    says: str = ""
    changes: tuple[str, ...] = ()
    verdicts: tuple[tuple[str, str], ...] = ()


NO_HISTORY = History()
_VERSION = TypeAdapter(Version)


def read_history(folder: Path) -> tuple[Version, ...]:
    """The versions recorded in a verdict's folder, oldest first; none where there is no file.

    Raises:
        UserError: If a line is no version.
    """
    path = folder / FILE
    if not path.is_file():
        return ()
    found = []
    for index, line in enumerate(read_text(path, str(path), "a history").splitlines(), start=1):
        try:
            found.append(_VERSION.validate_json(line))
        except ValidationError as error:
            raise UserError(
                f"{path}, line {index} is not a version of a claim: write the file again with "
                f"python scripts/claim_history.py"
            ) from error
    return tuple(found)


def history_text(versions: Sequence[Version], sha256: str) -> History:
    """What the versions show about the one that a verdict was made from."""
    if not versions:
        return NO_HISTORY
    changes = tuple(
        f"{version.date} ({version.commit}"
        f"{'' if version.before_first_verdict else ', after its first verdict'}): {version.told}"
        for version in versions[1:]
        if version.is_told
    )
    known = [version for version in versions if version.sha256 == sha256]
    if not known:
        return History(
            "This version of the claim file is not in its recorded history, so nothing shows when "
            "it was written.",
            changes,
        )
    until = [v for v in versions[: versions.index(known[-1]) + 1] if v.verdict_before]
    verdicts = tuple((version.verdict_before, version.date) for version in until)
    return History(_says(versions, known[-1]), changes, verdicts)


def _says(versions: Sequence[Version], judged: Version) -> str:
    first = versions[0]
    if judged.before_first_verdict and judged.seen == NOTHING:
        return (
            f"The claim's hash was committed before its first run ({judged.date}, {judged.commit})."
        )
    text = f"First committed on {first.date} ({first.commit}); seen of the results: {first.seen}."
    late = [version for version in versions if not version.before_first_verdict]
    if first in late:
        return f"{text} No commit shows the claim before its first verdict."
    if not any(version.changed for version in late):
        return (
            f"{text} Since its first verdict only its words changed, not rule, margins, arms, "
            "rates, seeds or scope."
        )
    return f"{text} What it tests was changed after its first verdict."
