"""From a configuration to finished run folders: compose, build, execute.

With `cli` and the launcher plugin, the only place that knows Hydra.
"""

from lossheads.configuration import compose as compose
from lossheads.experiment.execution import execute as execute
