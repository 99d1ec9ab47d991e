"""What people said, what was run, and the verdict that follows from it."""
