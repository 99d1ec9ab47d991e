"""The parts of the measurement, one after the other, within a limit of time.

Every part is written to card.json and card.md as soon as it is over: a card that is taken away
leaves what was measured.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.card import checks, jax_way, report, ways
from benchmarks.card.work import Clock, Row, Work

# Of the whole, in seconds; card.sh gives the tests two minutes of eight.
LIMIT = 340.0


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        mlp, cnn: Members of the curves.
        middle: Members of the comparison of precisions.
        batch: Images per step.
        seeds, steps: Of the runs whose accuracy is compared.
    """

    mlp: tuple[int, ...]
    cnn: tuple[int, ...]
    middle: int
    batch: int
    seeds: int
    steps: int
    clock: Clock


ON_A_CARD = Sizes((1, 16, 256, 1024), (1, 8, 64), 256, 128, 16, 400, Clock(3, 0.5, 400))
TINY = Sizes((1, 2), (1, 2), 2, 16, 2, 3, Clock(1, 0.01, 2))


@dataclass
class Session:
    """The measurements so far, on one device."""

    device: torch.device
    sizes: Sizes
    out: Path
    limit: float
    begun: float = field(default_factory=perf_counter)
    content: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"

    def work(self, net: str, members: int, **options: Any) -> Work:
        return Work(net, members, self.sizes.batch, self.device, **options)

    def measure(self, way: str, work: Work, build: Callable[[Work], Callable[[], Any]]) -> None:
        """One more row, if there is time."""
        self._add(way, work, lambda: self.sizes.clock.row(way, work, build))

    def measure_jax(self, work: Work) -> None:
        """A row of JAX, if there is time."""
        self._add("jax", work, lambda: jax_way.row(work, self.sizes.clock))

    def write(self, **parts: Any) -> None:
        """Add parts, and write both files."""
        self.content |= parts
        self.content["rows"] = [
            asdict(row) | {"ms": _finite(row.ms), "epoch_s": _finite(row.epoch_s)}
            for row in self.rows
        ]
        self.content["seconds"] = perf_counter() - self.begun
        (self.out / "card.json").write_text(json.dumps(self.content, indent=1) + "\n")
        (self.out / "card.md").write_text(report.markdown(self.content))

    def _add(self, way: str, work: Work, measured: Callable[[], Row]) -> None:
        if perf_counter() - self.begun > self.limit:
            row = Row(work.net, way, work.members, work.batch, work.precision, work.graph)
            row.note = f"not measured: the limit of {self.limit:.0f} s was reached"
        else:
            row = measured()
        self.rows.append(row)
        said = row.note or f"{row.ms:.3g} ms a step"
        graph = ", graph" * row.graph
        print(
            f"{row.net}, K = {row.members}, {row.way}, {row.precision}{graph}: {said}", flush=True
        )
        self.write()


def main(argv: Sequence[str]) -> int:
    """Measure everything; 1 if a way of this project failed or waited for the card."""
    args = _parser().parse_args(argv)
    device = torch.device(args.device)
    sizes = ON_A_CARD if device.type == "cuda" else TINY
    args.out.mkdir(parents=True, exist_ok=True)
    session = Session(device, sizes, args.out, args.limit)
    session.write(conditions=_conditions(device, sizes), waiting={}, disagreements={})
    _check_waiting(session)
    _curves(session)
    _precisions(session)
    with tempfile.TemporaryDirectory() as folder:
        modes = [("float32", False), ("bfloat16", False)]
        if session.on_card:
            modes += [("tf32", False), ("float32", True)]
        seeds, steps = sizes.seeds, sizes.steps
        session.write(accuracies=checks.accuracies(device.type, modes, seeds, steps, Path(folder)))
    _jax(session)
    session.write(choice=_choice(session))
    failed = [row for row in session.rows if row.way == "lossheads" and row.note]
    waited = [what for what in session.content["waiting"].values() if what]
    broken = [row for row in session.content["accuracies"] if "note" in row]
    return 1 if failed or waited or broken else 0


def _check_waiting(session: Session) -> None:
    found = {}
    for net, precision, graph, augmented in _modes(session.on_card):
        work = session.work(
            net, 2 if net.startswith("mlp") else 1, precision=precision, graph=graph
        )
        name = f"{net}, {precision}{', graph' * graph}{', crop and flip' * augmented}"
        found[name] = checks.waiting(work, augmented)
        session.write(waiting=found, watched=session.on_card)


def _modes(on_card: bool) -> Iterator[tuple[str, str, bool, bool]]:
    for precision in ("float32", "bfloat16", *(("tf32",) if on_card else ())):
        for graph in (False, True) if on_card else (False,):
            yield "mlp-128", precision, graph, False
    yield "mlp-128", "float32", on_card, True
    yield "cnn-32-64", "float32", False, True
    yield "resnet9", "float32", False, False


def _curves(session: Session) -> None:
    """Milliseconds a step over the number of members, and whether the ways agree."""
    graphs = (False, True) if session.on_card else (False,)
    plain = partial(ways.random_rows, way=ways.one_by_one)
    disagreements = {}
    for net, counts in (("mlp-128", session.sizes.mlp), ("cnn-32-64", session.sizes.cnn)):
        candidates = [name for name in ways.CANDIDATES if name != "one by one"]
        candidates = ["vmap"] if net == "mlp-128" else candidates
        if not session.on_card:
            candidates = [name for name in candidates if name != "streams"]
        session.measure("plain", session.work(net, 1), plain)
        disagreements[net] = checks.disagreements(session.work(net, 2), candidates)
        session.write(disagreements=disagreements)
        for members in counts:
            work = session.work(net, members)
            for graph in graphs if net == "mlp-128" else (False,):
                session.measure("lossheads", replace(work, graph=graph), ways.lossheads)
            named = candidates if net == "mlp-128" else ["one by one", *candidates]
            for name in named:
                build = partial(ways.random_rows, way=ways.CANDIDATES[name])
                for graph in graphs if name != "streams" else (False,):
                    session.measure(name, replace(work, graph=graph), build)
    session.measure("lossheads", session.work("resnet9", session.sizes.cnn[0]), ways.lossheads)


def _precisions(session: Session) -> None:
    """The MLP in the middle of the curve, in the other precisions."""
    work = session.work("mlp-128", session.sizes.middle)
    for precision in ("tf32", "bfloat16") if session.on_card else ("bfloat16",):
        for graph in (False, True) if session.on_card else (False,):
            given = replace(work, precision=precision, graph=graph)
            session.measure("lossheads", given, ways.lossheads)


def _jax(session: Session) -> None:
    """Last of all: JAX takes memory that it does not give back."""
    why = jax_way.obstacle(session.device.type)
    session.write(jax=why)
    if why:
        return
    for net, counts in (("mlp-128", session.sizes.mlp), ("cnn-32-64", session.sizes.cnn)):
        for members in counts:
            session.measure_jax(session.work(net, members))


def _choice(session: Session) -> dict[str, str]:
    """For each number of members the fastest way for convolutions among those that agree."""
    agreeing = {
        name
        for name, found in session.content["disagreements"]["cnn-32-64"].items()
        if isinstance(found, float) and found <= checks.AGREEMENT
    } | {"one by one"}
    chosen = {}
    for members in session.sizes.cnn:
        rows = [
            row
            for row in session.rows
            if (row.net, row.members) == ("cnn-32-64", members) and row.way in agreeing
        ]
        rows = [row for row in rows if row.step_ms]
        if rows:
            best = min(rows, key=lambda row: row.ms)
            chosen[str(members)] = best.way + ", graph" * best.graph
    return chosen


def _conditions(device: torch.device, sizes: Sizes) -> dict[str, Any]:
    found: dict[str, Any] = {"device": "cpu: a dry run, its numbers mean nothing"}
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found = {
            "device": about.name,
            "capability": f"{about.major}.{about.minor}",
            "memory_gb": round(about.total_memory / 1e9, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return {**found, "torch": torch.__version__, "batch": sizes.batch, "rounds": sizes.clock.rounds}


def _finite(value: float) -> float | None:
    return value if value == value else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--out", type=Path, required=True, help="folder for card.json and card.md")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds; later rows are left out"
    )
    return parser
