"""Hydra launcher: a multirun's compatible jobs become cohorts in one process."""
