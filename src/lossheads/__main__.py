"""`python -m lossheads`."""

from lossheads.cli import main

main()
