"""Interpolations: what a file may refer to, and whether resolving a configuration has an end."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lossheads.errors import UserError

MAX_LINKS = 20  # interpolations of interpolations of …
MAX_RESOLVED = 100_000  # characters and values of a configuration, once they are resolved

# A key of the run, from the top or from here: ${seed}, ${dataset.classes}, ${.lr}.
REFERENCE = re.compile(r"\$\{(\.*)([A-Za-z_]\w*(?:\.\w+|\[\w+\])*)\}")


def refers_to_keys(word: str) -> bool:
    """Whether all interpolations in it, if any, refer to keys of the run."""
    if any("hydra" in re.split(r"\W", found[2]) for found in REFERENCE.finditer(word)):
        return False
    return "${" not in REFERENCE.sub("", word)


def check_endless(config: DictConfig) -> None:
    """Refuse interpolations that are endless, or double at every step.

    Raises:
        UserError: Naming the first key.
    """
    data = _by_word(OmegaConf.to_container(config, resolve=False))
    _Sizes(data).of((), data, 0)


def _by_word(node: Any) -> Any:
    """`node` with every key as a word, as interpolations write it."""
    if isinstance(node, Mapping):
        return {str(key): _by_word(value) for key, value in node.items()}
    return [_by_word(item) for item in node] if isinstance(node, list) else node


class _Sizes:
    """Characters and values that parts of a configuration have once they are resolved."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._known: dict[tuple[str, ...], int] = {}
        self._open: set[tuple[str, ...]] = set()

    def of(self, path: tuple[str, ...], node: Any, links: int) -> int:
        """The size of the node at `path`, each part computed once."""
        if path in self._known:
            return self._known[path]
        if path in self._open:
            self._refuse(path, "refers to itself")
        if links > MAX_LINKS:
            self._refuse(path, f"refers to more than {MAX_LINKS} keys, one after the other")
        self._open.add(path)
        if isinstance(node, Mapping):
            parts = [self.of((*path, key), node[key], links) for key in node]
        elif isinstance(node, list):
            parts = [self.of((*path, str(i)), item, links) for i, item in enumerate(node)]
        else:
            parts = [self._target(path, found, links) for found in _references(node)]
        size = 1 + sum(parts) + (len(node) if isinstance(node, str) else 0)
        if size > MAX_RESOLVED:
            self._refuse(path, f"becomes more than {MAX_RESOLVED:,} characters")
        self._open.remove(path)
        self._known[path] = size
        return size

    def _target(self, path: tuple[str, ...], found: "re.Match[str]", links: int) -> int:
        keys = tuple(re.findall(r"\w+", found[2]))
        if found[1]:
            keys = (*path[: max(0, len(path) - len(found[1]))], *keys)
        node = self._data
        for key in keys:
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, Mapping) and key in node:
                node = node[key]
            else:
                return 0  # OmegaConf says what is missing
        return self.of(keys, node, links + 1)

    def _refuse(self, path: tuple[str, ...], why: str) -> None:
        raise UserError(f"{'.'.join(path)} {why}: give the value itself")


def _references(node: Any) -> "Iterator[re.Match[str]]":
    return REFERENCE.finditer(node) if isinstance(node, str) else iter(())
