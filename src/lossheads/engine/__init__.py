"""Members, cohorts and the one training loop."""
