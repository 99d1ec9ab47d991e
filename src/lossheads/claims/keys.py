"""The keys of a claim file: one table, which the reader checks against and the docs are made of.

python -m lossheads.claims.keys > docs/claim-format.md
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lossheads.analysis.statistics import MAX_SEEDS
from lossheads.bounded_yaml import MAX_BYTES, MAX_DEPTH
from lossheads.claims.plain_yaml import MAX_ENTRIES, MAX_NUMBER
from lossheads.errors import UserError

PROTOCOLS = ("same_rate", "tuned_rate")
VERDICTS = ("reproduced", "metric_artefact", "mixed", "refuted")
DATA = ("one_draw", "per_seed")
ABOUT = ("new_examples", "this_test_set")  # the first is the default
RELATIONS = ("greater", "less", "equivalent", "equals")
CHECK_RELATIONS = ("greater", "less", "equals")
MAX_WORDS = 25


@dataclass(frozen=True)
class Key:
    """One key of a mapping. `allowed` is empty where the type says it all."""

    name: str
    required: bool
    kind: str
    meaning: str
    allowed: str = ""


@dataclass(frozen=True)
class Keys:
    """The keys that one mapping of a claim file may have."""

    title: str
    keys: tuple[Key, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of those that must be there."""
        return tuple(key.name for key in self.keys if key.required)

    @property
    def optional(self) -> tuple[str, ...]:
        """Names of those that may be there."""
        return tuple(key.name for key in self.keys if not key.required)


CLAIM = Keys(
    "The file",
    (
        Key("source", True, "mapping", "where the claim was made", "see source"),
        Key("says", True, "text", "a paraphrase of the claim", f"at most {MAX_WORDS} words"),
        Key("statement", True, "text", "what exactly is tested"),
        Key(
            "verdict",
            True,
            "mapping",
            "the rule: a verdict and what it needs, `NAME` that a hypothesis or check holds, "
            "`not NAME` that it fails; the first whose needs are all met is given, refuted when "
            "each has one decided against it, else undecided",
            f"{', '.join(VERDICTS)}, each a list; mixed needs one of each kind; none needs all "
            "that an earlier one needs",
        ),
        Key(
            "explanation",
            True,
            "text",
            "how the writer of this file explains it, beyond what is tested",
        ),
        Key("would_change", True, "text", "what would change that writer's mind"),
        Key(
            "arms",
            False,
            "mapping",
            "name -> configuration overrides; needs hypotheses, protocol and seeds",
            "keys as on the command line (head, optimizer.lr)",
        ),
        Key("hypotheses", False, "mapping", "name -> hypothesis", "see a hypothesis"),
        Key(
            "protocol",
            False,
            "word",
            "one learning rate for all, or each arm tunes its own",
            ", ".join(PROTOCOLS),
        ),
        Key("seeds", False, "integer", "how many seeds", f"2 to {MAX_SEEDS}, or auto"),
        Key("shared", False, "mapping", "overrides of every arm"),
        Key("cases", False, "mapping", "case -> overrides; every arm runs in every case"),
        Key(
            "grid",
            False,
            "mapping",
            "under tuned_rate: one key and the values to try",
            "at least two values, all different",
        ),
        Key("choose_by", False, "text", "under tuned_rate: the validation metric that chooses"),
        Key(
            "match_first_step",
            False,
            "flag",
            "under same_rate: scale learning rates so that all first steps are equally long",
            "true, false",
        ),
        Key("show", False, "list", "metrics to show beside those of the hypotheses"),
        Key(
            "data",
            False,
            "word",
            "one data set for all seeds, or one for each",
            f"{', '.join(DATA)}, or {{per_seed: [CASE, …]}}",
        ),
        Key(
            "checks",
            False,
            "mapping",
            "name -> check; a claim may have checks alone",
            "see a check",
        ),
    ),
)
SOURCE = Keys(
    "source",
    (
        Key("document", True, "text", "what was read"),
        Key("framework", True, "text", "the framework and version it is about"),
        Key("url", False, "text", "its address", "http:// or https://"),
        Key("date", False, "text", "when it was written"),
    ),
)
HYPOTHESIS = Keys(
    "A hypothesis",
    (
        Key("metric", True, "text or list", "one metric, or one for each arm"),
        Key("arms", True, "list", "one arm, two (a - b) or four ((a - b) - (c - d))"),
        Key(
            "relation",
            True,
            "word",
            "how the mean over seeds lies to value and margin",
            ", ".join(RELATIONS),
        ),
        Key(
            "margin",
            False,
            "number",
            "how much more (or less), or the half width of equivalent",
            "at least 0, above 0 for equivalent; required but for equals; the metric's range must "
            "leave open whether the hypothesis holds",
        ),
        Key(
            "value",
            False,
            "number",
            "what to compare with; 0 if left out",
            "required for one arm and for equals; within the metric's range",
        ),
        Key(
            "tolerance",
            False,
            "number",
            "the half width of equals",
            "at least 0; the metric's range must leave open whether the hypothesis holds",
        ),
        Key("cases", False, "list", "the cases it is asked of; all if left out"),
        Key(
            "on",
            False,
            "word",
            "what it is about: new examples, drawn as those of the test split were, or these alone",
            f"{', '.join(ABOUT)}; {ABOUT[0]} if left out",
        ),
        Key("says", False, "text", "the hypothesis in words"),
    ),
)
CHECK = Keys(
    "A check",
    (
        Key("compute", True, "text", "name of a computation"),
        Key("of", False, "list", "its arguments"),
        Key(
            "printed",
            False,
            "text",
            "digits as a source printed them; then no relation, value or tolerance",
            'as in "0.731"',
        ),
        Key(
            "relation",
            False,
            "word",
            "how the computed number lies to value",
            ", ".join(CHECK_RELATIONS),
        ),
        Key("value", False, "number", "the stated number"),
        Key("tolerance", False, "number", "for equals alone"),
        Key("says", False, "text", "the check in words"),
    ),
)

_HEAD = f"""\
# The format of a claim file

Made from `src/lossheads/claims/keys.py` by `python -m lossheads.claims.keys`; not edited by hand.

A claim file is YAML without tags or aliases. `lossheads claim new my-claim.yaml` writes one to
start from. Names have lower-case letters, digits, - and _. A file has at most {MAX_BYTES:,} bytes
and {MAX_DEPTH} levels, a list or mapping at most {MAX_ENTRIES} entries; a number is at most
{MAX_NUMBER:g} in size. Overrides are words and numbers; they cannot set `seed`, `trust`, folders or
`_target_`.
"""


def format_page() -> str:
    """docs/claim-format.md."""
    parts = [_HEAD]
    for group in (CLAIM, SOURCE, HYPOTHESIS, CHECK):
        lines = [f"## {group.title}", "", "| key | required | type | meaning | allowed |"]
        lines.append("|---|---|---|---|---|")
        for key in group.keys:
            need = "yes" if key.required else "no"
            lines.append(f"| `{key.name}` | {need} | {key.kind} | {key.meaning} | {key.allowed} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def refuse_name(path: Path) -> None:
    """Refuse a file whose name no claim can have.

    Raises:
        UserError: With the rule.
    """
    if not NAME.fullmatch(path.stem):
        raise UserError(
            f"{path.name} is not a name for a claim file; names have lower-case letters, digits, - "
            f"and _ only"
        )


def write_template(path: Path) -> None:
    """A claim to start from, which runs as it is.

    Raises:
        UserError: If the file exists, or cannot be written.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"claim new got {path}: name a file that ends in .yaml")
    refuse_name(path)
    template = Path(__file__).with_name("new_claim.yaml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError as error:
        raise UserError(f"claim new does not overwrite {path}: name another file") from error
    except OSError as error:
        raise UserError(f"claim new cannot write {path}: {error.strerror}") from error


if __name__ == "__main__":
    sys.stdout.write(format_page())
