"""What people said, what was run, and the word that follows from it."""
