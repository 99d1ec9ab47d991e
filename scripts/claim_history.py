"""Write outputs/reference/NAME/history.jsonl: every version of each claim file, from git.

python scripts/claim_history.py            bring histories, and the pages that show them, up to date
python scripts/claim_history.py --check    exit 1 when one says what git does not show
python scripts/claim_history.py --seen NAME "three trial seeds"    note it for the newest version

One line per version, oldest first: the file's hash, date and commit, whether the commit lies
before the first one that holds a verdict of this claim, what had been seen of the results when it
was written (by hand; kept when the file is written again), what it tests otherwise than the version
before, and the word of the verdict that stood until then. A file is followed through renames; a
copy begins a history of its own.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from lossheads.analysis.html import humanize
from lossheads.claims.history import COMMITTED, FILE, NOT_RECORDED, Version, read_history
from lossheads.claims.render.markdown import to_markdown
from lossheads.claims.verdict_file import read_verdict

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "outputs" / "reference"
# Keys by their first names.
RENAMED = {"predictions": "hypotheses", "ruler": "metric", True: "on"}
# What a version may change without changing what is tested.
WORDS = ("source", "says", "statement", "explanation", "would_change", "show")
KINDS = ("hypothesis", "check")
# By what a hypothesis or check is known under another name.
SAME = ("metric", "arms", "cases", "relation", "value", "margin", "of", "printed")
SAME_NUMBER = (("metric", "arms", "cases"), ("of", "printed", "value"))
RATES = ("optimizer.lr", "protocol", "grid", "choose_by", "match_first_step", "schedule")


def git(*words: str) -> str:
    """What a git command of this repository prints."""
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, check=True, encoding="utf-8"
    ).stdout


def whole_repository() -> bool:
    """Whether git can show every version: a checkout, and not a shallow one."""
    try:
        return git("rev-parse", "--is-shallow-repository").strip() == "false"
    except (OSError, subprocess.CalledProcessError):
        return False


def history_of(slug: str) -> list[Version]:
    """Every committed version of a claim, oldest first; git knows little of what was `seen`."""
    commits = list(_commits(f"claims/{slug}.yaml"))
    slugs = {Path(path).stem for *_, path in commits}
    first = _first_verdict(slugs)
    found: list[Version] = []
    before: Mapping[str, Any] = {}
    for commit, date, path in reversed(commits):
        text = git("show", f"{commit}:{path}")
        sha256, now = hashlib.sha256(text.encode()).hexdigest(), tested(yaml.safe_load(text))
        if found and found[-1].sha256 == sha256:
            continue
        changed = list(changes(before, now)) if found else []
        early = not first or (commit != first and _is_ancestor(commit, first))
        seen = NOT_RECORDED if early else COMMITTED
        verdict = "" if early else _verdict_before(commit, slugs)
        found.append(Version(sha256, date, commit[:10], early, seen, tuple(changed), verdict))
        before = now
    return found


def _commits(path: str) -> Iterator[tuple[str, str, str]]:
    """Commit, day and path of every version, newest first; what it is a copy of is no version."""
    log = git("log", "--follow", "--name-status", "--format=@%H %cs", "--", path)
    for entry in log.split("@")[1:]:
        head, *_, status = entry.strip().split("\n")
        kind, *paths = status.split("\t")
        commit, date = head.split()
        yield commit, date, paths[-1]
        if kind.startswith("C"):
            return


def _first_verdict(slugs: set[str]) -> str:
    paths = [f"outputs/reference/{slug}/verdict.json" for slug in sorted(slugs)]
    added = git("log", "--topo-order", "--diff-filter=A", "--format=%H", "--", *paths).split()
    return added[-1] if added else ""


def _verdict_before(commit: str, slugs: set[str]) -> str:
    """The word that stood in the commit's parent."""
    for slug in sorted(slugs):
        try:
            text = git("show", f"{commit}^:outputs/reference/{slug}/verdict.json")
        except subprocess.CalledProcessError:
            continue
        return humanize(json.loads(text)["verdict"])
    return ""


def _is_ancestor(one: str, other: str) -> bool:
    words = ["git", "-C", str(ROOT), "merge-base", "--is-ancestor", one, other]
    return subprocess.run(words, check=False).returncode == 0


def tested(claim: Any) -> dict[str, Any]:
    """What a claim file tests, flat: a name in words -> value. Texts are left out."""
    claim = {RENAMED.get(key, key): value for key, value in claim.items()}
    flat: dict[str, Any] = {}
    for key, value in claim.items():
        if key in ("hypotheses", "checks"):
            kind = "hypothesis" if key == "hypotheses" else "check"
            for name, entry in value.items():
                # YAML 1.1 reads the key `on` as true.
                asked = {RENAMED.get(k, k): v for k, v in entry.items() if k != "says"}
                flat[f"{kind} {name}"] = asked
        elif key in ("shared", "cases", "arms"):
            kind = {"shared": "scope", "cases": "case", "arms": "arm"}[key]
            for name, entry in value.items():
                flat[f"{'rate' if name in RATES else kind} {name}"] = entry
        elif key == "verdict":
            flat["rule"] = value
        elif key not in WORDS:
            flat[f"rate {key}" if key in RATES else key if key == "seeds" else f"scope {key}"] = (
                value
            )
    return flat


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What the second tests otherwise than the first, a sentence each."""
    names = _renamed(before, now)
    before = {names.get(name, name): value for name, value in before.items()}
    short = {old.split()[1]: new.split()[1] for old, new in names.items()}
    before["rule"] = {
        word: [re.sub(r"[\w-]+", lambda name: short.get(name[0], name[0]), item) for item in items]
        for word, items in before["rule"].items()
    }
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if name not in before:
            yield f"{name} added: {_text(new)}"
        elif name not in now:
            yield f"{name} removed (it was {_text(old)})"
        elif old != new and name.split()[0] in KINDS:
            yield from (
                f"{key} of {name}: {_text(old.get(key))} → {_text(new.get(key))}"
                for key in dict.fromkeys([*old, *new])
                if old.get(key) != new.get(key)
            )
        elif old != new:
            yield f"{name}: {_text(old)} → {_text(new)}"


def _renamed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Hypotheses and checks that got another name and ask for the same number: old -> new."""
    found: dict[str, str] = {}
    for keys in SAME, *SAME_NUMBER:
        for old in (name for name in before if name not in now and name.split()[0] in KINDS):
            asked = _asks(old, before[old], keys)
            for new in (name for name in now if name not in before):
                free = old not in found and new not in found.values()
                if free and any(asked[2:]) and asked == _asks(new, now[new], keys):
                    found[old] = new
    return found


def _asks(name: str, entry: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any]:
    """Kind, relation (whatever its direction) and keys of a hypothesis or check."""
    relation = entry.get("relation")
    one_sided = "one side" if relation in ("greater", "less") else relation
    return [name.split()[0], one_sided, *(entry.get(key) for key in keys)]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    return f"[{', '.join(map(_text, value))}]" if isinstance(value, list) else str(value)


def with_notes(versions: list[Version], recorded: tuple[Version, ...]) -> list[Version]:
    """`seen` of the lines that are there already, by hash; of several equal ones in their order."""
    notes: dict[str, list[str]] = {}
    for line in recorded:
        notes.setdefault(line.sha256, []).append(line.seen)
    return [
        replace(line, seen=notes[line.sha256].pop(0)) if notes.get(line.sha256) else line
        for line in versions
    ]


def slugs() -> list[str]:
    """Every claim that is shipped."""
    return sorted(path.stem for path in (ROOT / "claims").glob("*.yaml"))


def write(slug: str, seen: str = "") -> None:
    """One history, and the page of the verdict beside it."""
    folder = REFERENCE / slug
    versions = with_notes(history_of(slug), read_history(folder))
    if seen:
        versions[-1] = replace(versions[-1], seen=seen)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(version), ensure_ascii=False) for version in versions]
    (folder / FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    record = read_verdict(folder)
    if record.data:
        page = to_markdown(record.data, list(record.pictures), record.history)
        (folder / "verdict.md").write_text(page, encoding="utf-8")


def disagreements() -> Iterator[str]:
    """Where a history says what git does not show. Versions since the last line are no error."""
    for slug in slugs():
        recorded = read_history(REFERENCE / slug)
        shown = with_notes(history_of(slug), recorded)
        if list(recorded) != shown[: len(recorded)] or not recorded:
            yield f"{slug}: {FILE} is not what git shows; run python scripts/claim_history.py"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        found = list(disagreements())
        sys.stdout.writelines(f"{line}\n" for line in found)
        sys.exit(bool(found))
    if sys.argv[1:2] == ["--seen"]:
        write(*sys.argv[2:4])
    else:
        for name in slugs():
            write(name)
