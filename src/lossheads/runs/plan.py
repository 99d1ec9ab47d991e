"""From configurations to runs, and from runs to cohorts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

from lossheads.errors import UserError
from lossheads.records import run_key
from lossheads.runs.build import Parts, build_parts, content_of
from lossheads.runs.checkpoint import checkpoint_step
from lossheads.runs.device import workers
from lossheads.runs.executors.settings import is_remote, placed
from lossheads.runs.folder import RunFolder, run_paths
from lossheads.runs.validate import check_numbers, check_output_layer, monitored_metric

# Members of one cohort on a CPU: enough to share the cost of calling torch; more save little and
# balance worse (docs/benchmark.md). On a GPU only memory limits them.
MAX_MEMBERS_ON_CPU = 10


@dataclass(frozen=True, eq=False)
class Run:
    """A configuration with its parts and its folder."""

    config: Mapping[str, Any]
    parts: Parts
    folder: RunFolder

    @cached_property
    def key(self) -> str:
        return run_key(self.config)

    @cached_property
    def device(self) -> str:
        """Runs with equal values here may train at the same time."""
        return json.dumps(self.config["device"], sort_keys=True)

    @cached_property
    def cohort_key(self) -> str:
        """Runs with equal values here can train in one cohort."""
        shared = {
            name: self.config[name]
            for name in ("dataset", "model", "schedule", "device", "training", "data_dir")
        }
        optimizer = self.config["optimizer"]["_target_"]
        fused = self.parts.optimizer_kwargs.get("fused", False)
        num_logits = self.parts.head.num_logits
        content = self.config.get("content", {}).get("dataset")
        cosine = self.config["output_layer"].get("cosine_temperature")
        parts = [shared, optimizer, fused, num_logits, content, self.first_step, cosine]
        return json.dumps(parts, sort_keys=True, default=str)

    @cached_property
    def first_step(self) -> int:
        """The step at which its training begins: that of its checkpoint, or 0."""
        return 0 if self.config["force"] else checkpoint_step(self.folder.path)

    @property
    def max_members(self) -> int | None:
        """Upper limit of members per cohort; None if only memory limits them."""
        given = self.config["cohort"]["max_members"]
        if given is None and self.config["device"]["kind"] == "cpu":
            return MAX_MEMBERS_ON_CPU
        return None if given is None else int(given)


def plan_run(config: Mapping[str, Any]) -> Run:
    """The run a configuration describes; nothing is read or written.

    Raises:
        UserError: If the configuration is not valid.
    """
    return plan_runs([config])[0]


def plan_runs(configs: Iterable[Mapping[str, Any]]) -> list[Run]:
    """`plan_run` of each; the folder of runs is listed once."""
    checked = [_checked(config) for config in configs]
    paths = run_paths([config for config, _ in checked])
    return [
        Run(config, parts, RunFolder(path))
        for (config, parts), path in zip(checked, paths, strict=True)
    ]


def _checked(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], Parts]:
    """A configuration with its device and the content of the user's files, and its parts."""
    config = placed(config)
    check_numbers(config)
    check_output_layer(config["output_layer"])
    if not is_remote(config):
        workers(config["device"])
    parts = build_parts(config)
    monitored_metric(config, parts.head.outcome, parts.metrics)
    content = content_of(config, parts.source)
    return ({**config, "content": content} if content else config), parts


def unfinished(runs: Iterable[Run]) -> tuple[list[Run], dict[str, UserError]]:
    """Runs to train: no result yet or `force`, each key once; and what refuses to be read, by key.

    A folder with a damaged result is left as it is: only the user may delete it.
    """
    todo: dict[str, Run] = {}
    refused: dict[str, UserError] = {}
    for run in runs:
        run.folder.recover()
        try:
            if run.config["force"] or run.folder.result() is None:
                todo.setdefault(run.key, run)
        except UserError as error:
            refused.setdefault(run.key, error)
    return list(todo.values()), refused


def by_device(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs grouped by device settings, which torch keeps once for the whole process."""
    return _grouped((run.device, run) for run in runs)


def cohorts(
    runs: Sequence[Run],
    one_by_one: bool = False,
    at_once: int | None = None,
    largest: int | None = None,
) -> list[list[Run]]:
    """Runs of one device split into cohorts of about equal size, enough to keep all workers busy.

    Runs with the same head stay together: each head in a cohort costs a loss call of its own.

    Args:
        one_by_one: Cohorts train one after another, each on all workers.
        at_once: Workers to keep busy; None takes those of this machine.
        largest: Upper limit of members per cohort; None takes that of the runs.
    """
    groups = _grouped((run.cohort_key, run) for run in runs)
    found = []
    for group in groups:
        heads = list(dict.fromkeys(_head_of(run) for run in group))
        group.sort(key=lambda run: heads.index(_head_of(run)))
        # Workers for this group; the others train other groups.
        busy = at_once or workers(group[0].config["device"])
        workers_per_group = ceil(busy / len(groups))
        n = len(group)
        limit = largest or group[0].max_members or n
        count = ceil(n / limit)
        if not one_by_one:
            count = min(n, ceil(count / workers_per_group) * workers_per_group)
        found += [group[n * k // count : n * (k + 1) // count] for k in range(count)]
    return found


def _head_of(run: Run) -> str:
    return json.dumps(run.config["head"], sort_keys=True, default=str)


def _grouped(pairs: Iterable[tuple[str, Run]]) -> list[list[Run]]:
    groups: dict[str, list[Run]] = {}
    for key, run in pairs:
        groups.setdefault(key, []).append(run)
    return list(groups.values())
