"""The launcher itself. Torch is imported when jobs are launched, not when plugins are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from lossheads.cli.arguments import View
from lossheads.errors import UserError


@dataclass
class CohortLauncherConf:
    _target_: str = "hydra_plugins.lossheads_cohort.launcher.CohortLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="cohort", node=CohortLauncherConf, provider="lossheads"
)


class CohortLauncher(Launcher):
    """Passes all jobs of a sweep to the engine at once, which trains them as cohorts.

    Each job keeps its own run folder, as if it had run alone.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._context = hydra_context
        self._config = config
        self._granted: Sequence[str] = getattr(task_function, "granted", ())
        self._view: View = getattr(task_function, "view", View())

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from lossheads.analysis.overview import sweep_overviews
        from lossheads.cli.console import print_results
        from lossheads.cli.sweep_page import data_folders_of, write_sweep_page
        from lossheads.runs.collect import collect
        from lossheads.runs.composer import Composer

        if not job_overrides:
            raise UserError("the sweep is empty: a range or list in it is empty")
        setup_globals()
        composer = Composer(self._load, self._granted)
        jobs = []
        for self._number, overrides in enumerate(job_overrides, initial_job_idx):
            jobs.append(composer.compose(overrides))
        output_dirs = list(dict.fromkeys(job["output_dir"] for job in jobs))
        if len(output_dirs) > 1:
            raise UserError(
                f"the sweep must have one value of output_dir, got {', '.join(output_dirs)}"
            )
        results = collect(jobs, quiet=self._view.silent)
        distinct = list({result.key: result for result in results}.values())
        outputs = Path(output_dirs[0])
        try:
            sweep_overviews(distinct, outputs)
            write_sweep_page(distinct, outputs, self._granted, data_folders_of(jobs))
        finally:  # results are printed even if the disk is full by now
            print_results(distinct, outputs, view=self._view)
        return [
            _returned(overrides, job, result)
            for overrides, job, result in zip(job_overrides, jobs, results, strict=True)
        ]

    def _load(self, overrides: list[str]) -> DictConfig:
        config = self._context.config_loader.load_sweep_config(self._config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(self._number), self._number
        HydraConfig.instance().set_config(config)  # `${hydra:…}` asks it
        return config


def _returned(overrides: Sequence[str], config: Any, result: Any) -> JobReturn:
    done = JobReturn(overrides=overrides, cfg=config)
    done.status = JobStatus.COMPLETED
    done.return_value = result
    return done
