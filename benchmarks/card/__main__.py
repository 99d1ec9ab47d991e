"""`python -m benchmarks.card`, from the root of a clone."""

import sys

from benchmarks.card.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
