"""How long training takes, here and with the loops people write. See benchmarks/README.md.

`peers` holds the ways of training, `setting` the work that is the same for all of them, `worker`
the process that a peer runs in and `process` its other end, `session` the interleaved rounds,
`summary` the medians and ratios, `report` the tables and the figure, `profiling` and `end_to_end`
two further modes, `cli` the command line.
"""

import os

# The environment that every peer's process starts with. Copied before anything imports lossheads,
# which sets variables of its own: other libraries must not run under our settings.
ENVIRONMENT = dict(os.environ)
