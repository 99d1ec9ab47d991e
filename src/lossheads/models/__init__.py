"""Backbones: functions from an input shape to a module, inputs -> features.

A backbone never knows how many classes or units follow it. Normalisation is GroupNorm where there is
any: batch statistics would couple the rows of a batch, and members could not be stacked.
`lossheads.models.resnet` stands apart because importing torchvision takes seconds.
"""

from lossheads.models.backbones import cnn as cnn
from lossheads.models.backbones import linear as linear
from lossheads.models.backbones import mlp as mlp
