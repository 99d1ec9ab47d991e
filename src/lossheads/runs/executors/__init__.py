"""Runs trained by other machines: cohorts become jobs, the results come from folders."""
