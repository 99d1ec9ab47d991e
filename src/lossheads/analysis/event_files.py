"""TensorBoard's event files, written whole and read back without torch.

A page of the dashboard is written once, when its runs are over: no queue and no thread are needed.
"""

import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.pr_curve import metadata as pr_curves
from tensorboard.plugins.text import metadata as texts
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

PLUGIN = "lossheads"  # of tensors that TensorBoard draws nothing of
# On the test split: (C, C) true by predicted class; (L, 4) TP, FN, FP, TN of each label.
CONFUSION_COUNTS, DECISION_COUNTS = "counts/confusion", "counts/decisions"
_HEADER, _FOOTER = 12, 4  # bytes of a record: its length and that one's checksum; its checksum
_NUMBERS = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_INT64)
_THREE = 3  # values of a session that HPARAMS shows beside its settings


@dataclass(frozen=True)
class Chart:
    """A chart of Custom Scalars: a line with its band for every run of the log directory.

    Attributes:
        title: Over the chart.
        tag: Of the lines; all runs must have it, and `<tag>/lower` and `<tag>/upper`.
    """

    title: str
    tag: str


def write_events(folder: Path, values: Sequence[tuple[int, Summary.Value]]) -> Path:
    """Write one event file of (step, value) pairs in a folder of its own; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    with (folder / f"events.out.tfevents.{int(now):010d}.lossheads").open("wb") as file:
        writer = RecordWriter(file)
        version = Event(wall_time=now, file_version="brain.Event:2")
        writer.write(version.SerializeToString())
        for step, group in groupby(values, key=lambda pair: pair[0]):
            summary = Summary(value=[value for _, value in group])
            event = Event(wall_time=now, step=step, summary=summary)
            writer.write(event.SerializeToString())
    return folder


def scalar(tag: str, value: float) -> Summary.Value:
    """One point of a line."""
    return Summary.Value(tag=tag, simple_value=value)


def banded(tag: str, mean: float, low: float, high: float) -> list[Summary.Value]:
    """One point of a line with a band."""
    return [scalar(tag, mean), scalar(f"{tag}/lower", low), scalar(f"{tag}/upper", high)]


def image(tag: str, png: bytes, width: int, height: int) -> Summary.Value:
    """A picture, as the bytes of its PNG file."""
    drawn = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=3)
    return Summary.Value(tag=tag, image=drawn)


def text(tag: str, markdown: str) -> Summary.Value:
    """A text in Markdown."""
    content = np.array([markdown.encode()], dtype=object)
    about = texts.create_summary_metadata("", "")
    return _tensor(f"{tag}/text_summary", content, about)


def pr_curve(tag: str, rows: NDArray[np.float64]) -> Summary.Value:
    """A curve of (6, thresholds): TP, FP, TN, FN, precision, recall; stored in float32."""
    about = pr_curves.create_summary_metadata("", "", rows.shape[1])
    return _tensor(tag, rows.astype(np.float32), about)


def counts(tag: str, numbers: NDArray[np.int64]) -> Summary.Value:
    """Whole numbers that other programs read and TensorBoard does not draw."""
    about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=PLUGIN))
    return _tensor(tag, numbers, about)


def layout(categories: Mapping[str, Sequence[Chart]]) -> Summary.Value:
    """The sections of Custom Scalars, from top to bottom, with their charts from left to right.

    TensorBoard draws the charts with bands of a section in reverse, after those without: it
    inserts each before the second half of the one before (tf-dom-repeat).
    """
    drawn = layout_pb2.Layout(
        category=[
            layout_pb2.Category(title=title, chart=[_chart(chart) for chart in reversed(charts)])
            for title, charts in categories.items()
        ]
    )
    content = np.array(drawn.SerializeToString(), dtype=object)
    return _tensor(
        custom_scalars.CONFIG_SUMMARY_TAG, content, custom_scalars.create_summary_metadata()
    )


def session(
    settings: Mapping[str, float | str], measured: Sequence[str], varying: Collection[str]
) -> list[Summary.Value]:
    """A run as one of HPARAMS.

    Args:
        settings: Name -> value.
        measured: The tags of what it measured.
        varying: The settings that are shown without being asked for, by their alphabet.
    """
    infos = [
        api_pb2.HParamInfo(
            name=name,
            differs=name in varying,
            type=api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64,
        )
        for name, value in settings.items()
    ]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in measured]
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in settings.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    contents = {
        hparams.EXPERIMENT_TAG: {
            "experiment": api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
        },
        hparams.SESSION_START_INFO_TAG: {"session_start_info": start},
        hparams.SESSION_END_INFO_TAG: {"session_end_info": end},
    }
    return [
        Summary.Value(
            tag=tag,
            metadata=hparams.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content)),
            tensor=hparams.NULL_TENSOR,
        )
        for tag, content in contents.items()
    ]


def hparams_of_note(names: Sequence[str]) -> list[str]:
    """The metrics that HPARAMS shows: accuracy, what is mistaken for it, and calibration."""
    wanted = ("accuracy_score", "elementwise_accuracy_score", "expected_calibration_error")
    known = [name for name in wanted if name in names]
    return [*known, *(name for name in names if name not in known)][:_THREE]


def read_tensors(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Tag -> the last tensor of every tag in a run folder; nothing of a folder without events.

    A file is read to where it is torn, as a stopped run leaves it.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for value in _values(path):
            if value.HasField("tensor") and value.tensor.dtype in _NUMBERS:
                found[value.tag] = tensor_util.make_ndarray(value.tensor).astype(np.float64)
    return found


def _values(path: Path) -> Iterator[Summary.Value]:
    try:
        with path.open("rb") as file:
            while header := file.read(_HEADER):
                (length,) = struct.unpack("<Q", header[:8])
                record = file.read(length)
                if len(record) < length:
                    return
                file.seek(_FOOTER, 1)
                yield from Event.FromString(record).summary.value
    except (OSError, OverflowError, MemoryError, struct.error, DecodeError):
        return


def _chart(chart: Chart) -> layout_pb2.Chart:
    tag = chart.tag
    series = layout_pb2.MarginChartContent.Series(
        value=tag, lower=f"{tag}/lower", upper=f"{tag}/upper"
    )
    return layout_pb2.Chart(
        title=chart.title, margin=layout_pb2.MarginChartContent(series=[series])
    )


def _tensor(tag: str, content: NDArray[np.generic], about: SummaryMetadata) -> Summary.Value:
    tensor = tensor_util.make_tensor_proto(content)
    return Summary.Value(tag=tag, metadata=about, tensor=tensor)
