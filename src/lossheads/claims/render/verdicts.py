"""Verdict folders read back: verdict.json, the pictures beside it, and what could not be read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossheads.errors import UserError

# What a picture shows; a claim of many arms has one of each for every case, the case in its name.
_STEMS = ("metrics", "epochs")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class VerdictRecord:
    """One folder's verdict.

    Attributes:
        slug: The folder's name.
        data: verdict.json as it stands, and the prose that only the page beside it has.
        pictures: File name -> PNG bytes.
        trouble: Sentences about what lies there and cannot be read.
    """

    slug: str
    data: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()


def read_verdicts(folder: Path) -> list[VerdictRecord]:
    """Every verdict below `folder`, by name.

    Raises:
        UserError: If there is none.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    records = [read_verdict(path) for path in inside if (path / "verdict.json").is_file()]
    if not records:
        raise UserError(
            f"report finds no verdict in {folder}: make one with lossheads claim run NAME, or name "
            f"a folder whose folders hold verdict.json"
        )
    return records


def read_verdict(folder: Path) -> VerdictRecord:
    """One folder; what is torn becomes a sentence instead of ending the whole report."""
    try:
        data = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        return VerdictRecord(folder.name, {}, trouble=(f"verdict.json cannot be read: {error}.",))
    if not isinstance(data, dict):
        return VerdictRecord(folder.name, {}, trouble=("verdict.json holds no verdict.",))
    pictures, trouble = {}, []
    for path in _pictures(folder):
        content = path.read_bytes()
        if content.startswith(_PNG):
            pictures[path.name] = content
        else:
            trouble.append(f"{path.name} is no PNG picture and is left out.")
    return VerdictRecord(folder.name, _page_words(folder) | data, pictures, tuple(trouble))


def _pictures(folder: Path) -> list[Path]:
    """Case by case, each with its stems in order."""
    found = [
        (path.stem.removeprefix(stem), order, path)
        for order, stem in enumerate(_STEMS)
        for path in folder.glob(f"{stem}*.png")
    ]
    return [path for *_, path in sorted(found)]


def _page_words(folder: Path) -> dict[str, Any]:
    # Prose that verdict.md has and verdict.json has not, or not in all versions.
    page = folder / "verdict.md"
    if not page.is_file():
        return {}
    text = page.read_text(encoding="utf-8", errors="replace")
    parts = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE))
    fenced = re.search(r"```\n(.*?)\n```", parts.get("To repeat", ""), flags=re.DOTALL)
    protocol = re.match(r"Protocol \w+\. (.+)", parts.get("What we ran", ""))
    words = {
        "explanation": parts.get("What theory says", "").strip(),
        "would_change": parts.get("What would change our mind", "").strip(),
        "protocol_says": protocol[1] if protocol else "",
        "commands": fenced[1].splitlines() if fenced else [],
    }
    return {key: value for key, value in words.items() if value}
