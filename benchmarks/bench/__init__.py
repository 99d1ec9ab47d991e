"""Parts of benchmarks/benchmark.py: what is compared, who compares, how it is timed and shown."""

import os

# What every peer's process starts with. Kept before anything imports lossheads, which adds
# variables of its own: others must not run under our settings.
ENVIRONMENT = dict(os.environ)
