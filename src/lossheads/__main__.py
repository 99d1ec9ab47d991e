"""`python -m lossheads`."""

from lossheads.cli.main import main

if __name__ == "__main__":  # worker processes import this module again
    main()
