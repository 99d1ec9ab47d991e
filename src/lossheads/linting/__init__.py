"""A linter for loss heads: what one batch through a live model shows."""
