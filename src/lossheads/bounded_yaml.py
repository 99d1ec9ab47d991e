"""YAML of strangers, read within bounds: no aliases, no endless file, no endless nesting.

For claim files and for configuration files that are not shipped. A loader adds `Bounded` before
one of PyYAML's; what it composes is then small, whatever the file says.
"""

from pathlib import Path

import yaml
from yaml.composer import Composer

from lossheads.errors import UserError, reason

# What no honest file reaches; more would only cost the reader time and memory.
MAX_BYTES, MAX_DEPTH, MAX_NODES = 256_000, 20, 20_000

PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")
)


class Bounded(Composer):
    """Refuses aliases, with which a small file could be endless, depth, and many entries."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As PyYAML's, within the bounds; raises `yaml.MarkedYAMLError`."""
        event = self.peek_event()  # type: ignore[attr-defined]
        self.depth, self.nodes = self.depth + 1, self.nodes + 1
        problem = ""
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not allowed; write the value itself"
        elif self.depth > MAX_DEPTH:
            problem = f"must be nested at most {MAX_DEPTH} levels deep"
        elif self.nodes > MAX_NODES:
            problem = f"must have at most {MAX_NODES:,} keys and values"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_text(path: Path, shown: str, kind: str) -> str:
    """The text of a file of YAML.

    Args:
        path: The file.
        shown: Its name in an error about its size.
        kind: What it should be, for that error: "a claim file".

    Raises:
        UserError: When the file cannot be read, or is larger than `MAX_BYTES`.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} cannot be read: it is no file; a pipe or device may have no end")
    try:
        with path.open("rb") as file:  # what /proc calls a file may have no end either
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(f"{shown} must have at most {MAX_BYTES:,} bytes to be {kind}")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error
