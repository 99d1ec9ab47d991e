"""`python -m benchmarks.training_speed`, from the root of a clone."""

import sys

from benchmarks.training_speed.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
