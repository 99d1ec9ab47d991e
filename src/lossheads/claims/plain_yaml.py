"""YAML read as plain data that remembers its lines.

A claim file may come from a stranger. Nothing here builds an object from a tag, follows an
alias or reads a variable: nodes are read as one expected type at a time, and whatever is not
expected is refused by file, line and key. `read_overrides` holds configuration overrides to plain
words and numbers.
"""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NoReturn

import yaml

from lossheads.bounded_yaml import PLAIN_TAGS, Bounded
from lossheads.claims.schema import Scalar, Value
from lossheads.errors import UserError, near_matches
from lossheads.records import NOT_IN_KEY

# Unquoted dates too; they are read as the text they are.
_PLAIN = PLAIN_TAGS | {"tag:yaml.org,2002:timestamp"}


# What an override in a claim file may be: keys that name no code (`_target_`) and are not set by
# whoever runs the claim, values that hide no interpolation, quote or second override.
_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*")
# What no honest claim reaches; more would only cost the reader time and memory.
MAX_ENTRIES, MAX_NUMBER = 1000, 1e15
_RUNNER_KEYS = {"hydra", "defaults", *NOT_IN_KEY}


class _Nodes(Bounded, yaml.SafeLoader):
    """Composes nodes only."""


@dataclass(frozen=True)
class Item:
    """A node with its location. Every reader refuses what it does not expect.

    Attributes:
        file: Name of the file, for error messages.
        path: Keys from the top, dotted; empty at the top.
        node: The YAML node.
        line: From 1: the line of its key if it has one.
    """

    file: str
    path: str
    node: yaml.Node
    line: int

    @property
    def location(self) -> str:
        """File, line and key, as an error names them."""
        return f"{self.file}, line {self.line}" + (f", {self.path}" if self.path else "")

    def refuse(self, rule: str) -> NoReturn:
        """Raise one sentence: the location and the rule that is broken."""
        raise UserError(f"{self.location}: {rule}")

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    def mapping(self) -> "dict[str, Item]":
        """Any keys, each a string that occurs once."""
        if not isinstance(self.node, yaml.MappingNode):
            self.refuse(f"expected a mapping (key: value), got {_shown(self.node)}")
        self._refuse_many(len(self.node.value))
        found: dict[str, Item] = {}
        for key, value in self.node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _PLAIN:
                Item(self.file, self.path, key, line).refuse(
                    f"{_shown(key)} is not a key; keys are plain words"
                )
            name = f"{self.path}.{key.value}" if self.path else key.value
            item = Item(self.file, name, value, line)
            if key.value in found:
                item.refuse("duplicate key; keep one")
            if value.tag not in _PLAIN:
                item.refuse(
                    f"the tag {_short(value.tag)} names a type; a claim file holds plain data"
                )
            found[key.value] = item
        return found

    def fields(
        self, required: Collection[str], optional: Collection[str] = ()
    ) -> "dict[str, Item]":
        """The keys that are allowed here, all of `required` among them."""
        found, allowed = self.mapping(), [*required, *optional]
        unknown = [name for name in found if name not in allowed]
        missing = [name for name in required if name not in found]
        also = f"; {' and '.join(missing)} missing" if missing else ""
        if len(unknown) == 1:
            name = unknown[0]
            found[name].refuse(f"{name!r} is not a key here; {_suggestion(name, allowed)}{also}")
        if unknown:
            named = ", ".join(f"{name!r} (line {found[name].line})" for name in unknown)
            self.refuse(f"{named} are not keys here{also}; allowed: {', '.join(allowed)}")
        if missing:
            self.refuse(f"{' and '.join(missing)} missing; allowed are {', '.join(allowed)}")
        return found

    def _refuse_many(self, n: int) -> None:
        if n > MAX_ENTRIES:
            self.refuse(f"must have at most {MAX_ENTRIES} entries, got {n}")

    def items(self) -> "list[Item]":
        """A list's entries."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.refuse(f"expected a list ([a, b]), got {_shown(self.node)}")
        self._refuse_many(len(self.node.value))
        entries = [
            Item(self.file, f"{self.path}[{i}]", node, node.start_mark.line + 1)
            for i, node in enumerate(self.node.value)
        ]
        for entry in entries:
            if entry.node.tag not in _PLAIN:
                entry.refuse(
                    f"the tag {_short(entry.node.tag)} names a type; a claim file holds plain data"
                )
        return entries

    def text(self) -> str:
        """One line of text, not empty; numbers and dates are read as they are written."""
        node = self.node
        if not isinstance(node, yaml.ScalarNode) or node.tag.endswith((":null", ":bool")):
            self.refuse(f"expected text, got {_shown(node)}")
        text = " ".join(node.value.split())
        if not text:
            self.refuse("expected text, got an empty value")
        return text

    def one_of(self, allowed: Iterable[str]) -> str:
        """One of the `allowed` values."""
        value, known = self.text(), list(allowed)
        if value not in known:
            self.refuse(f"got {value!r}; {_suggestion(value, known)}")
        return value

    def number(self) -> float:
        """A finite number; `1e-3` counts, though YAML 1.1 calls it text."""
        value = self.scalar()
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(f"expected a number, got {_shown(self.node)}")
        return float(value)

    def integer(self, minimum: int, maximum: int) -> int:
        """An integer from `minimum` to `maximum`."""
        value = self.scalar()
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            self.refuse(f"must be an integer of at least {minimum}, got {_shown(self.node)}")
        if value > maximum:
            self.refuse(f"must be at most {maximum}, got {_shown(self.node)}")
        return value

    def flag(self) -> bool:
        """true or false."""
        value = self.scalar()
        if not isinstance(value, bool):
            self.refuse(f"expected true or false, got {_shown(self.node)}")
        return value

    def scalar(self) -> Scalar:
        """Text, a finite decimal number, true, false or null."""
        node = self.node
        if not isinstance(node, yaml.ScalarNode):
            self.refuse(f"expected a single value, got {_shown(node)}")
        if node.style is not None:
            return str(node.value)
        if node.tag.endswith(":null"):
            return None
        if node.tag.endswith(":bool"):
            if node.value.lower() not in ("true", "false"):
                self.refuse(f"write true, false, or quote the word {node.value!r}")
            return bool(node.value.lower() == "true")
        return self._number_or_text(node.value)

    def _number_or_text(self, written: str) -> Scalar:
        for kind in (int, float):
            try:
                value = kind(written)
            except ValueError:
                continue
            if not math.isfinite(value):
                self.refuse(f"must be a finite number, got {written}")
            if abs(value) > MAX_NUMBER:
                self.refuse(f"must be at most {MAX_NUMBER:g} in size, got {_shown(self.node)}")
            return value
        return written


def parse(text: str, name: str) -> Item:
    """The top item of a file of this name.

    Raises:
        UserError: When the text is not YAML, or holds aliases.
    """
    try:
        node = yaml.compose(text, Loader=_Nodes)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{name}{line}: {error.problem or 'not YAML'}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{name}: not YAML ({type(error).__name__})") from error
    if node is None:
        raise UserError(f"{name}, line 1: the file is empty")
    top = Item(name, "", node, node.start_mark.line + 1)
    if node.tag not in _PLAIN:
        top.refuse(f"the tag {_short(node.tag)} names a type; a claim file holds plain data")
    return top


def read_overrides(item: Item) -> dict[str, Value]:
    """A mapping such as {head: softmax_cce, training.epochs: 5}, each key and value checked."""
    found = {}
    for key, value in item.mapping().items():
        first = key.split(".")[0]
        if first in _RUNNER_KEYS:
            value.refuse(f"{first!r} is set by whoever runs the claim, not in a claim file")
        if first == "seed":
            value.refuse("the seed is set by the runner; give the number of seeds under `seeds`")
        if not _KEY.fullmatch(key):
            value.refuse(
                f"{key!r} is not a configuration key: keys are words joined by dots, no _ first"
            )
        found[key] = read_value(value)
    return found


def read_value(item: Item) -> Value:
    """A word, a number, true, false, null, or a list of them."""
    if item.is_list:
        return tuple(_plain(entry) for entry in item.items())
    return _plain(item)


def _plain(item: Item) -> Scalar:
    value = item.scalar()
    if isinstance(value, str) and not _WORD.fullmatch(value):
        item.refuse(
            f"{value!r} is not a plain value: a number, true, false, null, or a word of letters, "
            f"digits, _ and -, parts joined by a dot or slash"
        )
    return value


def _suggestion(value: str, allowed: Collection[str]) -> str:
    """The nearest allowed value, if one is near, and all that are allowed."""
    near, listed = near_matches(value, allowed), ", ".join(allowed)
    return f"{near} (allowed: {listed})" if near.startswith("did") else f"allowed: {listed}"


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if len(node.value) < 60 else f"{node.value[:57]!r}…"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
