"""docs/dialects is what scripts/dialects.py makes of the table, and its links lead somewhere."""

import re
from pathlib import Path

import torch
import torch.nn.functional as F

from dialects import FOLDER, pages
from lossheads.dialects import DIALECTS
from lossheads.heads.functional import KERAS_EPSILON

from .ask_clip import problem


def test_the_pages_are_what_the_table_says():
    for name, text in pages().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run python scripts/dialects.py"


def test_every_dialect_and_every_compared_number_stands_on_a_page():
    text = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md"))
    for dialect in DIALECTS:
        assert f"`{dialect.call}`" in text
    for row in re.findall(r"\| (\d+) \| (\d+) \|$", text, re.MULTILINE):
        assert row[0] == row[1]


def test_links_of_the_pages_exist():
    for path in FOLDER.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
    assert (Path(FOLDER) / "README.md").exists()


def test_the_page_of_keras_states_the_loss_with_and_without_the_clip():
    logits, labels = map(torch.as_tensor, problem())
    exact = F.cross_entropy(logits.double(), labels).item()
    truth = logits.double().softmax(dim=1).gather(1, labels[:, None])
    clipped = -truth.clamp(KERAS_EPSILON, 1 - KERAS_EPSILON).log().mean().item()
    page = (FOLDER / "keras.md").read_text(encoding="utf-8")
    assert f"print {exact:.4f} on TensorFlow and {clipped:.4f} on JAX" in " ".join(page.split())
    assert int((truth < KERAS_EPSILON).sum()) == 9
