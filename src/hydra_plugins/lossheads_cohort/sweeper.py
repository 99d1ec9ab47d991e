"""The sweeper of Hydra's own kind that does not compose every job twice."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override

from hydra_plugins.lossheads_cohort.launcher import CohortLauncher
from lossheads.runs.config import refuse_launcher


@dataclass
class CohortSweeperConf(BasicSweeperConf):
    _target_: str = "hydra_plugins.lossheads_cohort.sweeper.CohortSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="cohort", node=CohortSweeperConf, provider="lossheads"
)


class CohortSweeper(BasicSweeper):
    """All combinations of the values given, as Hydra's basic sweeper.

    That one composes each job to see whether it can, and throws away what it composed. Our
    launcher composes all jobs before the first one begins, so it meets the same errors as early.
    """

    @staticmethod
    def split_arguments(
        overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        from lossheads.runs.config_files import check_runs

        check_runs(overrides)
        runs: list[list[list[str]]] = BasicSweeper.split_arguments(overrides, max_batch_size)
        return runs

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        if not isinstance(self.launcher, CohortLauncher):
            assert self.config is not None
            name = str(self.config.hydra.runtime.choices["hydra/launcher"])
            refuse_launcher(name)  # which a file may have chosen
            sys.stderr.write(
                f"hydra/launcher={name} trains runs one by one: without cohorts, which take a "
                f"fraction of the time, and without one table of all runs\n"
            )
            super().validate_batch_is_legal(batch)
