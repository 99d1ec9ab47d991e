"""Claims that people made, the runs that test them, and the verdicts that follow."""
