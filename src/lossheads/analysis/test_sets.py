"""Runs whose numbers may stand side by side: those measured on the same test examples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossheads.analysis.arms import identities, short_names
from lossheads.records import Result

_CONTENTS = "content.dataset"


@dataclass(frozen=True)
class SharedTestSet:
    """Runs on the same data: one table, one n, one set of metrics.

    Data drawn anew with every seed are the same where all settings but that seed are.

    Attributes:
        title: The dataset's name and what tells it from the others of that name.
        runs: In the order met; those that diverged, too.
    """

    title: str
    runs: list[Result]

    @property
    def finished(self) -> list[Result]:
        return [run for run in self.runs if run.status == "finished"]

    @property
    def metrics(self) -> list[str]:
        """Every metric that a finished run was measured under, in order."""
        return list(dict.fromkeys(name for run in self.finished for name in run.test.metrics))

    @property
    def examples(self) -> str:
        """How many test examples there are, with their unit."""
        sizes = sorted({run.test.n for run in self.finished})
        return f"n = {' or '.join(map(str, sizes))} examples"


def by_test_set(results: Sequence[Result]) -> list[SharedTestSet]:
    """The runs of every dataset, in the order met.

    Runs with equal dataset settings and equal contents of the files belong together. So do runs
    whose settings differ in the training examples alone: their test examples are the same, as the
    recorded digests show.
    """
    by_choice: dict[str, list[Result]] = {}
    for result in results:
        by_choice.setdefault(result.config["choices"]["dataset"], []).append(result)
    found = []
    for choice, here in by_choice.items():
        groups = _groups(here)
        titles = _titles(choice, [settings for settings, _ in groups])
        found += [
            SharedTestSet(title, runs) for title, (_, runs) in zip(titles, groups, strict=True)
        ]
    return found


def _groups(results: Sequence[Result]) -> list[tuple[dict[str, Any], list[Result]]]:
    """Settings that all runs of a group share, and its runs."""
    alike: dict[str, tuple[dict[str, Any], list[Result]]] = {}
    for result, identity in zip(results, identities([run.config for run in results]), strict=True):
        data = {k: v for k, v in identity.items() if k.startswith("dataset.") or k == _CONTENTS}
        words = json.dumps(data, sort_keys=True, default=str)
        alike.setdefault(words, (data, []))[1].append(result)
    merged: list[_Group] = []
    for settings, runs in alike.values():
        group = _Group(settings, runs, _digests(runs))
        same = next((known for known in merged if known.has_the_test_set_of(group)), None)
        if same is None:
            merged.append(group)
        else:
            same.add(group)
    return [(group.settings, group.runs) for group in merged]


@dataclass
class _Group:
    """Runs on one test set.

    Attributes:
        digests: Seed -> the digest of the test examples, of the runs that recorded it.
    """

    settings: dict[str, Any]
    runs: list[Result]
    digests: dict[int, str]

    def has_the_test_set_of(self, other: "_Group") -> bool:
        """Whether both were measured on the same examples of the same classes, if recorded."""
        one, two = self.digests, other.digests
        return (
            self.runs[0].class_names == other.runs[0].class_names
            and not set(one.values()).isdisjoint(two.values())
            and all(one[seed] == two[seed] for seed in one.keys() & two.keys())
        )

    def add(self, other: "_Group") -> None:
        theirs = other.settings
        self.settings = {k: v for k, v in self.settings.items() if k in theirs and theirs[k] == v}
        self.runs = self.runs + other.runs
        self.digests = self.digests | other.digests


def _digests(runs: Sequence[Result]) -> dict[int, str]:
    ends = [(run.config["seed"], run.test.correct) for run in runs if run.status == "finished"]
    return {seed: mask.examples_digest for seed, mask in ends if mask is not None}


def _titles(choice: str, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name and the path, where there is one; then what differs, where that is not enough."""
    paths = [group.get("dataset.path") for group in groups]
    titles = [f"{choice}, path={path}" if path else choice for path in paths]
    found = []
    for title, group in zip(titles, groups, strict=True):
        alike = [other for other, its in zip(groups, titles, strict=True) if its == title]
        found.append(", ".join([title, *_differing(group, alike)]))
    return found


def _differing(group: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings of a group in which those of one title differ."""
    keys = [key for key in group if len({str(other.get(key)) for other in alike}) > 1]
    return [f"{name}={group[key]}" for key, name in short_names(keys).items()]
