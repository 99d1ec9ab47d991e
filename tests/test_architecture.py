"""Imports flow one way, and each room keeps to what it may know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lossheads"

# A layer imports only lower ones; modules of one layer may import each other.
LAYERS: list[tuple[str, ...]] = [
    ("errors", "outcomes", "numerics", "bounded_yaml", "whole_files", "dialects", "absent_losses"),
    ("heads", "models", "datasets", "records", "predictions_file", "decoding"),
    ("predictions", "analysis"),
    ("metrics", "claims", "linting"),
    ("loggers",),
    ("engine",),
    ("runs",),
    ("evaluation",),
    ("api",),
    ("cli", "__main__", "integrations"),
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Hydra and OmegaConf stay at the rim; torch.utils.tensorboard in the recorder.
ONLY_IN = {
    "hydra": {"cli", "runs"},
    "omegaconf": {"cli", "runs"},
    "torch.utils.tensorboard": {"loggers"},
}

WITHOUT_TORCH = [
    "lossheads",
    "lossheads.records",
    "lossheads.predictions_file",
    "lossheads.cli.main",
    "lossheads.cli.decode",
    "lossheads.runs.config",
    "lossheads.cli.board",
    "lossheads.claims.judge",
    "lossheads.analysis.statistics",
    "lossheads.claims.reading",
    "lossheads.cli.console",
    "lossheads.cli.explain",
    "lossheads.loggers.progress",
    "lossheads.analysis.bars",
    "lossheads.claims.render.console",
    "lossheads.claims.render.html",
    "lossheads.claims.render.markdown",
    "lossheads.analysis.runs_page",
    "lossheads.cli.report",
    "lossheads.cli.evaluate",
    "lossheads.cli.compare",
    "lossheads.evaluation.files",
    "lossheads.analysis.figures",
    "lossheads.analysis.overview",
    "lossheads.linting.report",
    "hydra_plugins.lossheads_cohort.launcher",
]


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


def test_every_room_has_a_place() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert rooms == set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_layer_imports_only_lower_ones(path: Path) -> None:
    here = room_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "lossheads" and len(parts) > 1:
            assert LEVEL[parts[1]] <= LEVEL.get(here, len(LAYERS)), f"{here} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_frameworks_stay_in_their_rooms(path: Path) -> None:
    for name in imported(path):
        for framework, rooms in ONLY_IN.items():
            if name == framework or name.startswith(f"{framework}."):
                assert room_of(path) in rooms, f"{path} imports {name}"


def test_torch_is_not_imported() -> None:
    """One process for all: what it names first is the module that brought torch."""
    code = (
        f"import sys\nfrom importlib import import_module\nfor name in {WITHOUT_TORCH}:\n"
        "    import_module(name)\n    if 'torch' in sys.modules: sys.exit(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_outside_heads_asks_which_head_it_is(path: Path) -> None:
    """A head's class may be named by its own package, its examples and the checks only.

    The package's own `__init__` offers every head by name and asks nothing of it.
    """
    if room_of(path) in ("heads", "__init__") or path.parent.name == "checks":
        return
    allowed = {
        f"lossheads.heads.{module}"
        for module in ("base", "criterion", "examples", "formulas", "reading")
    }
    for name in imported(path):
        if name.startswith("lossheads.heads"):
            assert name in allowed, f"{path}: {name}"
