"""`python -m benchmarks.several_labels`, from the root of a clone."""

import sys

from benchmarks.several_labels.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
