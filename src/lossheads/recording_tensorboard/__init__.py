"""Runs on a dashboard. The only package that imports torch.utils.tensorboard (start-up time)."""

from lossheads.recording_tensorboard.recorder import TensorBoardRecorder as TensorBoardRecorder
