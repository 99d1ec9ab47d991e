"""Write docs/dialects: what "accuracy" means in each library, from the table that computes it.

python scripts/dialects.py            rewrite the pages
python scripts/dialects.py --check    exit 1 when one would change

The worked numbers are those of the cases in tests/metrics/ask_libraries.py, beside what the
libraries printed for them (tests/metrics/dialects_recorded).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lossheads.decoding.facts import read_facts  # noqa: E402
from lossheads.decoding.losses import Fingerprint, catalogue  # noqa: E402
from lossheads.dialects import (  # noqa: E402
    BASELINES,
    DIALECTS,
    QUANTITIES,
    Dialect,
    Setting,
)
from lossheads.metrics.frameworks import QUANTITY_METRICS, setting_of  # noqa: E402
from metrics.ask_libraries import SEEDS, N  # noqa: E402
from metrics.dialect_cases import ours, predictions  # noqa: E402

FOLDER = ROOT / "docs" / "dialects"
RECORDED = ROOT / "tests" / "metrics" / "dialects_recorded"
MADE = "<!-- Made by scripts/dialects.py from the tables in src/lossheads: change those. -->"
DISTRIBUTIONS = {
    "Keras": "keras", "torchmetrics": "torchmetrics", "scikit-learn": "scikit-learn",
    "fastai": "fastai", "Lightning": "lightning", "ignite": "pytorch-ignite",
}  # fmt: skip
# What the user has: in words, the case of ask_libraries.py, and the suffix of its keys there.
VARIANTS = (
    ("one of 5 classes, probabilities", "classes", ""),
    ("the same, loss `binary_crossentropy`", "classes", ", bce"),
    ("any of 5 labels, probabilities", "labels", ""),
    ("any of 5 labels, logits", "labels", ", logits"),
    ("one unit, probabilities", "one unit", ""),
    ("one unit, logits", "one unit", ", logits"),
)
# What the table cannot say.
NOTES = {
    "Keras": """\
* `accuracy` is a rule, not a metric: the string picks a function by shapes (and, from 1.0.6 to
  2.3.1, by the name of the loss). `keras.metrics.Accuracy()` is another metric, which compares
  values; on probabilities it prints about 0.
* `from_logits=True` changes the loss alone: `"accuracy"` with one unit and `BinaryAccuracy()` still
  cut at 1/2, now on the logit. Pass `BinaryAccuracy(threshold=0.0)`.
* `keras` 2.4 to 2.15 are tf.keras of the same version.
* Keras 3.0 and 3.1 average batches without weights in the loss they print; accuracies are exact.
* The printed *loss* of a softmax layer depends on the backend. On TensorFlow cross-entropy is that
  of the logits below the layer; on JAX and torch probabilities are first clipped to 1e-7 and
  1 - 1e-7, so that no wrong answer costs more than 16.1181, and its gradient there is 0. The same
  200 confident rows (tests/metrics/ask_clip.py; nine true classes below 1e-7) print 3.9740 on
  TensorFlow and 3.7715 on JAX and torch, asked of Keras 3.15.1 on 2026-11-29; `from_logits=True`
  without a softmax layer prints 3.9740 on all three. Accuracies are the same.
* What versions 1.0.5 to 3.0.5 printed, and how they were asked:
  [how-keras-was-asked.md](how-keras-was-asked.md).""",
    "tf.keras": """\
* Numbers of tf.keras 2.1.4 and 2.2.3, recorded in those versions, and the models they come from:
  [how-keras-was-asked.md](how-keras-was-asked.md). Later versions were not asked: the rule is read
  in their source.
* On TensorFlow every cross-entropy uses the logits below a softmax or sigmoid where it finds them:
  `softmax` + `binary_crossentropy` trains sigmoid + BCE there.""",
    "torchmetrics": """\
* The sigmoid is applied only if some value *of the batch* lies outside [0, 1]. A batch of logits
  that all lie inside is cut at 1/2 as it is (tests/metrics/test_dialects.py shows it).
* Exactly 1/2 is negative.
* `average="micro"` of `Accuracy(task="multiclass")` is the share of correct examples;
  `MulticlassAccuracy` without arguments is the mean of recalls. `multidim_average="samplewise"`
  refuses labels of shape (N,).""",
    "scikit-learn": """\
* Rows of zeros and ones are taken for multi-label data: one-hot rows too. A softmax below 1/2 in
  every cell is then a wrong row although its argmax is right.
* `balanced_accuracy_score` leaves out classes that do not occur, and warns where they are
  predicted; torchmetrics counts those as 0.""",
    "fastai": """\
* `accuracy_multi` expects logits, as fastai's losses do. After a sigmoid of the model's own every
  output is above 0, the second sigmoid above 1/2: the printed number is the share of ones.""",
    "HF evaluate": """\
* `evaluate.load` fetches the code of a metric when it is called, so nothing was run here. The
  source is `metrics/accuracy/accuracy.py` of huggingface/evaluate, read at commit 087d5cf: it
  returns `float(accuracy_score(references, predictions))` of scikit-learn, see
  [scikit-learn.md](scikit-learn.md) for the numbers.
* It takes predictions as integers: the `argmax` or the cut at 1/2 is the caller's line.""",
    "Lightning": """\
* `self.log` of a number per batch takes the mean over batches, weighted by batch size: exact for a
  share of examples, another number for a mean over classes (F1, macro recall, AUROC): a batch
  holds some of the classes only. Log a torchmetrics *object*, or collect the rows.
* The weight is the size of the first tensor that Lightning finds in the batch; pass `batch_size=`
  when that is not the number of examples.""",
    "ignite": """\
* `Accuracy()` refuses probabilities of one unit or of labels: round them first. Rounded outputs of
  the target's shape are compared element-wise, unless `is_multilabel=True`.""",
}  # fmt: skip


def pages() -> dict[str, str]:
    """File name -> text."""
    libraries = list(dict.fromkeys(dialect.library for dialect in DIALECTS))
    found = {_file(library): _page(library) for library in libraries}
    return {"README.md": _index(libraries), "losses.md": _losses(), **found}


# What the fingerprints are listed for.
KNOWN = {
    "One of 10 balanced classes, 10 units": {"classes": 10},
    "Two classes, one unit, 20 % ones": {"classes": 2, "units": 1, "prevalence": 0.2},
    "Any of 20 labels, 3 present in each example": {"labels": 20, "positives": 3},
}


def _losses() -> str:
    parts = [
        "# What a printed loss says",
        MADE,
        "Values that one particular computation prints, in nats, as `lossheads decode` compares "
        "them with a printed loss: `lossheads decode loss=1.4612 classes=10`. Sums over a batch, "
        "means divided by it again, bits, and other label smoothings are tried as well. Each value "
        "is computed a second time by a head or the named function in "
        "tests/decoding/test_fingerprints.py.",
    ]
    for title, known in KNOWN.items():
        rows = "\n".join(map(_fingerprint_row, _plain_fingerprints(known)))
        head = "| value | formula | name | what prints it |\n|---:|---|---|---|"
        parts += [f"## {title}", f"{head}\n{rows}"]
    return "\n\n".join(parts) + "\n"


def _plain_fingerprints(known: dict) -> list[Fingerprint]:
    found = catalogue(read_facts({"loss": 1, "smoothing": 0.1, **known}))
    derived = (", in bits", ", sum of ", ", over ")
    return [f for f in found if not any(word in f.name for word in derived)]


def _fingerprint_row(f: Fingerprint) -> str:
    return f"| {f.value:.6g} | {f.formula} | {f.name} | {f.meaning} |"


def _file(library: str) -> str:
    return library.lower().replace(" ", "-").replace(".", "-") + ".md"


def _index(libraries: list[str]) -> str:
    lines = [
        "# What `accuracy` means",
        MADE,
        "The same predictions, the same labels, and one word that stands for several quantities. A "
        "page per library:",
        "\n".join(f"* [{library}]({_file(library)})" for library in libraries),
        "What a printed loss says: [losses.md](losses.md).",
        "`lossheads decode accuracy=0.9728 classes=10 framework=keras-2.2 "
        "loss=binary_crossentropy` reads a printed number back through this table.",
        "## Quantities",
        "| quantity | what it is | what the best constant prediction prints |\n|---|---|---|\n"
        + "\n".join(f"| `{q}` | {what} | {BASELINES[q]} |" for q, what in QUANTITIES.items()),
        "## Agreement with the libraries",
        _agreement(),
    ]
    return "\n\n".join(lines) + "\n"


def _agreement() -> str:
    rows = ["| library | numbers compared | equal within 1e-6 |", "|---|---:|---:|"]
    total = 0
    for path in sorted(RECORDED.glob("*.json")):
        for library, record in json.loads(path.read_text()).items():
            pairs = [
                (printed, ours(key, predictions(case, seed)))
                for case, numbers in record["said"].items()
                for seed, said in zip(SEEDS, numbers, strict=True)
                for key, printed in said.items()
            ]
            equal = sum(abs(printed - value) <= 1e-6 for printed, value in pairs)
            total += len(pairs)
            rows.append(f"| {library} {record['version']} | {len(pairs)} | {equal} |")
    return "\n".join(rows) + (
        f"\n\n{total} numbers: {len(SEEDS)} draws of {N} examples for each of 7 cases (random "
        f"ones, and ones on a grid of quarters with many ties and many outputs of exactly 1/2; "
        f"classes that never occur). `tests/metrics/test_dialects.py` repeats the comparison with "
        f"the recorded numbers always, and with the libraries that are installed."
    )


def _page(library: str) -> str:
    rows = [dialect for dialect in DIALECTS if dialect.library == library]
    record = _record(library)
    said = f"{library} {record['version']}" if record else library
    parts = [
        f"# What `accuracy` means in {library}",
        MADE,
        "| you write | versions | what decides | source |\n|---|---|---|---|\n"
        + "\n".join(f"| `{d.call}` | {d.versions} | {d.rule} | {d.source} |" for d in rows),
        "## What is printed",
        f"Each number is for one draw of {N} examples (seed 0 of tests/metrics/ask_libraries.py); "
        f"the baseline is what the best constant prediction prints on the same labels.",
        *(_dialect(dialect, record, said) for dialect in rows),
        "## Worth knowing",
        NOTES[library],
    ]
    return "\n\n".join(parts) + "\n"


def _record(library: str) -> dict:
    recorded = json.loads((RECORDED / "libraries.json").read_text())
    return recorded.get(DISTRIBUTIONS.get(library, ""), {})


def _dialect(dialect: Dialect, record: dict, said: str) -> str:
    lines = [
        f"### `{dialect.call}`, {dialect.versions}",
        "",
        f"| predictions | quantity | computed here | baseline | printed by {said} |",
        "|---|---|---:|---:|---:|",
        *_rows(dialect, record),
    ]
    if dialect.key == "lightning-log":
        p = predictions("classes", 0)
        macro = "lightning-log, macro in batches"
        baseline = QUANTITY_METRICS["macro_recall"].baseline(p)
        printed = record["said"]["classes"][0][macro]
        lines.append(
            f"| one of 5 classes, macro recall of each batch of 8 | a mean of batches; "
            f"`macro_recall` of all rows is {QUANTITY_METRICS['macro_recall'](p):.4f} | "
            f"{ours(macro, p):.4f} | {baseline:.4f} | {printed:.4f} |"
        )
    return "\n".join(lines)


def _rows(dialect: Dialect, record: dict) -> Iterator[str]:
    keras = "keras" in dialect.library.lower()
    for words, case, suffix in VARIANTS:
        if suffix == ", bce" and not (keras and dialect.word):
            continue
        p = predictions(case, 0)
        setting = setting_of(p, "logits" if suffix == ", logits" else "probabilities")
        if suffix == ", bce":
            setting = Setting(setting.kind, setting.one_unit, "binary_crossentropy")
        quantity = dialect.reads(setting)
        if quantity is None or not QUANTITY_METRICS[quantity].is_defined_for(p):
            continue
        plain = setting_of(p)
        if suffix == ", logits" and quantity == dialect.reads(plain):
            continue  # logits change nothing
        computed = QUANTITY_METRICS[quantity]
        printed = _printed(dialect, record, case, suffix)
        numbers = f"{computed(p):.4f} | {computed.baseline(p):.4f} | {printed}"
        yield f"| {words} | `{quantity}` | {numbers} |"


def _printed(dialect: Dialect, record: dict, case: str, suffix: str) -> str:
    said = record["said"][case][0] if record else {}
    key = dialect.key + suffix
    return f"{said[key]:.4f}" if key in said else "–"


def main() -> None:
    made = pages()
    stale = [name for name, text in made.items() if _read(FOLDER / name) != text]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"docs/dialects is not what the table says ({', '.join(stale)}): "
                     f"run python scripts/dialects.py")  # fmt: skip
        return
    for name in stale:
        (FOLDER / name).write_text(made[name], encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
