"""Hydra launcher: a multirun's compatible jobs become cohorts in one process."""

from hydra_plugins.lossheads_cohort.launcher import CohortLauncher as CohortLauncher
