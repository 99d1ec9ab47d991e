"""Configurations on their way to results: planned, told apart, dealt out to cohorts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

from lossheads.records import run_key
from lossheads.runs.build import Parts, build_parts, content_of
from lossheads.runs.device import resolve_kind, workers
from lossheads.runs.folder import RunFolder, run_path
from lossheads.runs.validate import check_numbers, monitored_metric

# Members of one program on a CPU: the weights, gradients and moments of about eight small nets
# fit the caches of a small machine, and more save nothing. On a card memory alone counts.
MAX_MEMBERS_ON_CPU = 8


@dataclass(frozen=True, eq=False)
class Run:
    """A configuration on its way to a result."""

    config: Mapping[str, Any]
    parts: Parts
    folder: RunFolder

    @cached_property
    def key(self) -> str:
        return run_key(self.config)

    @cached_property
    def device(self) -> str:
        """Runs with equal words here may be in training at the same time."""
        return json.dumps(self.config["device"], sort_keys=True)

    @cached_property
    def cohort_key(self) -> str:
        """Runs with equal words here can train side by side."""
        shared = {
            name: self.config[name]
            for name in ("dataset", "model", "schedule", "device", "training", "data_dir")
        }
        optimizer = self.config["optimizer"]["_target_"]
        fused, num_logits = (
            self.parts.optimizer_kwargs.get("fused", False),
            self.parts.head.num_logits,
        )
        content = self.config.get("content", {}).get("dataset")
        return json.dumps(
            [shared, optimizer, fused, num_logits, content], sort_keys=True, default=str
        )

    @property
    def most(self) -> int | None:
        """Members that one program may hold, as far as that is known before its size is."""
        asked = self.config["cohort"]["max_members"]
        if asked is None and self.config["device"]["kind"] == "cpu":
            return MAX_MEMBERS_ON_CPU
        return None if asked is None else int(asked)


def plan_run(config: Mapping[str, Any]) -> Run:
    """The run a configuration describes; nothing is read or written.

    Raises:
        UserError: What the configuration asks cannot be done.
    """
    kind = resolve_kind(config["device"]["kind"])
    config = {**config, "device": {**config["device"], "kind": kind}}
    check_numbers(config)
    workers(config["device"])
    parts = build_parts(config)
    monitored_metric(config, parts.head.outcome)
    content = content_of(config, parts.source)
    if content:
        config = {**config, "content": content}
    return Run(config, parts, RunFolder(run_path(config)))


def unfinished(runs: Iterable[Run]) -> list[Run]:
    """Runs to train: no result yet or `force`, each key once."""
    todo: dict[str, Run] = {}
    for run in runs:
        if run.config["force"] or run.folder.result() is None:
            todo.setdefault(run.key, run)
    return list(todo.values())


def by_device(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs of one device setting; torch keeps such settings once for the whole process."""
    return _grouped((run.device, run) for run in runs)


def cohorts(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one device, dealt out: equal companies side by side, every worker busy if it can be.

    Equal heads stay together, because each head in a cohort costs a loss call of its own.
    """
    companies = _grouped((run.cohort_key, run) for run in runs)
    found = []
    for cohort_key in companies:
        heads = list(dict.fromkeys(_head_of(run) for run in cohort_key))
        cohort_key.sort(key=lambda run: heads.index(_head_of(run)))
        # So many workers wait for this cohort_key; the others have companies of their own.
        crew = ceil(workers(cohort_key[0].config["device"]) / len(companies))
        most, n = cohort_key[0].most or len(cohort_key), len(cohort_key)
        count = min(n, ceil(ceil(n / most) / crew) * crew)
        found += [cohort_key[n * k // count : n * (k + 1) // count] for k in range(count)]
    return found


def _head_of(run: Run) -> str:
    return json.dumps(run.config["head"], sort_keys=True, default=str)


def _grouped(pairs: Iterable[tuple[str, Run]]) -> list[list[Run]]:
    groups: dict[str, list[Run]] = {}
    for words, run in pairs:
        groups.setdefault(words, []).append(run)
    return list(groups.values())
