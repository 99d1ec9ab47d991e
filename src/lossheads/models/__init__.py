"""Backbones: functions from an input shape to a module, inputs -> features.

A backbone does not know the number of classes or logits. Normalisation is GroupNorm where there is
any: batch statistics would couple the rows of a batch, and members could not be stacked.
"""

from lossheads.models.backbones import cnn as cnn
from lossheads.models.backbones import linear as linear
from lossheads.models.backbones import mlp as mlp
from lossheads.models.backbones import resnet18 as resnet18
from lossheads.models.resnet9 import resnet9 as resnet9
