"""From a configuration to finished run folders: compose, build, execute."""

from lossheads.configuration import compose as compose
from lossheads.experiment.execution import execute as execute
