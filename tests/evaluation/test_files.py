"""The same predictions from every kind of file, and one sentence for whatever is wrong in one."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lossheads as lh
from evaluation.making import C, N, classes, npz, softmax

LOGITS, LABELS = classes()
PROBS = softmax(LOGITS)
WORDS = np.array(["cat", "dog", "elk", "fox"])
EXPECTED = lh.evaluate(LOGITS, LABELS, head="softmax_cce").to_frame()


def frame(**more: Any) -> pd.DataFrame:
    columns = {f"logit_{name}": LOGITS[:, k] for k, name in enumerate(WORDS)}
    return pd.DataFrame({"id": np.arange(N), **columns, "label": WORDS[LABELS], **more})


def npy_pair(folder: Path) -> tuple[Path, dict[str, Any]]:
    np.save(folder / "logits.npy", LOGITS)
    np.save(folder / "labels.npy", LABELS)
    return folder / "logits.npy", {"labels": str(folder / "labels.npy")}


def csv_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    frame().to_csv(folder / "own.csv", index=False)
    return folder / "own.csv", {}


def parquet_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    pytest.importorskip("pyarrow")
    frame().to_parquet(folder / "own.parquet", index=False)
    return folder / "own.parquet", {}


def torch_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    held = {"logits": torch.from_numpy(LOGITS), "labels": torch.from_numpy(LABELS)}
    torch.save(held, folder / "own.pt")
    return folder / "own.pt", {}


def compressed(folder: Path) -> tuple[Path, dict[str, Any]]:
    np.savez_compressed(folder / "own.npz", logits=LOGITS, labels=LABELS)
    return folder / "own.npz", {}


def one_hot_floats(folder: Path) -> tuple[Path, dict[str, Any]]:
    return npz(folder, logits=LOGITS, labels=np.eye(C)[LABELS]), {}


def words_and_names(folder: Path) -> tuple[Path, dict[str, Any]]:
    return npz(folder, logits=LOGITS, labels=WORDS[LABELS], class_names=WORDS), {}


def other_names(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = npz(folder, mine=LOGITS, truth=LABELS.reshape(-1, 1), logits=LOGITS * 2)
    return path, {"columns": "mine", "labels": "truth"}


FILES = [npy_pair, csv_file, parquet_file, torch_file, compressed, one_hot_floats]
FILES += [words_and_names, other_names]


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_every_kind_of_file_gives_the_same_numbers(
    write: Callable[[Path], tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    path, options = write(tmp_path)
    found = lh.evaluate(path, head="softmax_cce", intervals=False, **options)
    np.testing.assert_allclose(found.to_frame()["value"], EXPECTED["value"], rtol=1e-9)
    assert found.source == str(path)


def test_columns_of_labels_may_stand_in_another_order(tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    table = {f"prob_{WORDS[k]}": PROBS[:, k] for k in range(C)}
    table |= {f"label_{WORDS[k]}": (k == LABELS).astype(int) for k in order}
    pd.DataFrame(table).to_csv(tmp_path / "own.csv", index=False)
    found = lh.evaluate(
        tmp_path / "own.csv", link="softmax", given="probabilities", outcome="one_of"
    )
    assert found["accuracy_score"].value == EXPECTED.loc["accuracy_score", "value"]
    assert found.class_names == tuple(WORDS)


def test_columns_numbered_without_an_underscore_are_found(tmp_path: Path) -> None:
    table = {f"p{k}": PROBS[:, k] for k in range(C)} | {"label": LABELS}
    pd.DataFrame(table).to_csv(tmp_path / "own.csv", index=False)
    found = lh.evaluate(
        tmp_path / "own.csv", link="softmax", given="probabilities", outcome="one_of"
    )
    assert found["accuracy_score"].value == EXPECTED.loc["accuracy_score", "value"]


def test_a_large_member_of_an_archive_is_mapped_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossheads.evaluation import arrays

    path = npz(tmp_path, logits=LOGITS, labels=LABELS)
    monkeypatch.setattr(arrays, "_MAPPED_FROM", 0)
    found = arrays.read_npz(path)
    assert isinstance(found["logits"], np.memmap)
    np.testing.assert_array_equal(found["logits"], LOGITS)
    np.testing.assert_array_equal(found["labels"], LABELS)


class Bomb:
    """Would write a file when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


def forged(shape: str) -> bytes:
    """An .npy header that claims more than there is."""
    whole = io.BytesIO()
    np.save(whole, np.zeros(4))
    return whole.getvalue().replace(b"(4,), ", shape.encode())


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, held in members.items():
            archive.writestr(name, held)
    return content.getvalue()


def npy(array: Any) -> bytes:
    whole = io.BytesIO()
    np.save(whole, array, allow_pickle=True)
    return whole.getvalue()


def bomb(folder: Path) -> None:
    """300 MB of zeros in 300 kB."""
    rows = npy(np.zeros((75_000_000 // C, C), dtype=np.float32))
    (folder / "own.npz").write_bytes(zipped({"logits.npy": rows, "labels.npy": npy(LABELS)}))


def changed(array: np.ndarray, value: Any) -> np.ndarray:
    copy = array.copy()
    copy.reshape(-1)[5] = value
    return copy


def csv_text(text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "own.csv").write_text(text)


def arrays(**held: Any) -> Callable[[Path], Any]:
    return lambda folder: npz(folder, **held)


def content(name: str, data: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(data)


def nested_parquet(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    nested = pd.DataFrame({"prob_all": [[0.1, 0.9]], "label": [1]})
    nested.to_parquet(folder / "own.parquet", index=False)


HEAD = "logit_a,logit_b,label\n"
WRONG: list[tuple[str, str, Callable[[Path], Any], list[str]]] = [
    ("lengths", "own.npz", arrays(logits=LOGITS, labels=LABELS[:-1]), ["300", "299"]),
    ("NaN", "own.npz", arrays(logits=changed(LOGITS, np.nan), labels=LABELS), ["row 1", "nan"]),
    ("Inf", "own.npz", arrays(logits=changed(LOGITS, np.inf), labels=LABELS), ["row 1", "inf"]),
    ("a class beyond", "own.npz", arrays(logits=LOGITS, labels=LABELS + 1), ["0 … 3", "from 0"]),
    (
        "an ignored label",
        "own.npz",
        arrays(logits=LOGITS, labels=changed(LABELS, -100)),
        ["-100", "leave out"],
    ),
    (
        "half a class",
        "own.npz",
        arrays(logits=LOGITS, labels=LABELS + 0.5),
        ["fractions", "class indices"],
    ),
    ("a label NaN", "own.npz", arrays(logits=LOGITS, labels=changed(LABELS + 0.0, np.nan)), []),
    (
        "an unknown word",
        "own.npz",
        arrays(logits=LOGITS, labels=changed(WORDS[LABELS], "cow"), class_names=WORDS),
        ["'cow'", "row 5"],
    ),
    ("words alone", "own.npz", arrays(logits=LOGITS, labels=WORDS[LABELS]), ["--class-names"]),
    (
        "two names alike",
        "own.npz",
        arrays(logits=LOGITS, labels=LABELS, class_names=["a", "a", "b", "c"]),
        ["twice"],
    ),
    (
        "objects",
        "own.npz",
        content("own.npz", zipped({"logits.npy": npy(LOGITS), "labels.npy": npy([None] * N)})),
        ["objects", "never unpickled"],
    ),
    ("a bomb", "own.npz", bomb, ["300 MB", "nothing was unpacked"]),
    (
        "a forged header",
        "own.npz",
        content(
            "own.npz", zipped({"logits.npy": forged("(99999999999, 4), "), "labels.npy": b"x"})
        ),
        ["3.2 TB"],
    ),
    ("no archive", "own.npz", content("own.npz", b"hello"), ["own.npz"]),
    ("an empty file", "own.npz", content("own.npz", b""), ["empty"]),
    ("no labels", "own.npz", arrays(logits=LOGITS), ["--labels"]),
    ("two candidates", "own.npz", arrays(logits=LOGITS, probs=PROBS, labels=LABELS), ["--columns"]),
    ("no rows", "own.npz", arrays(logits=LOGITS[:0], labels=LABELS[:0]), ["0 examples"]),
    (
        "ids twice",
        "own.npz",
        arrays(logits=LOGITS, labels=LABELS, ids=changed(np.arange(N), 6)),
        ["'6'", "unique"],
    ),
    ("one .npy alone", "own.npy", content("own.npy", npy(LOGITS)), ["--labels"]),
    ("dates", "own.npz", arrays(logits=LOGITS.astype("M8[s]"), labels=LABELS), ["datetime"]),
    ("another kind", "own.h5", content("own.h5", b"x"), [".npz", ".parquet"]),
    ("no such file", "own.npy", content("owm.npy", b"x"), ["did you mean owm.npy"]),
    ("a formula", "own.csv", csv_text(HEAD + "1,2,0\n=1+1,2,1\n"), ["line 3", "'=1+1'", "formula"]),
    ("a word", "own.csv", csv_text(HEAD + "1,2,0\n1,much,1\n"), ["line 3", "'much'", "logit_b"]),
    ("an empty cell", "own.csv", csv_text(HEAD + "1,2,0\n1,,1\n"), ["line 3", "logit_b"]),
    ("a short line", "own.csv", csv_text(HEAD + "1,2,0\n1\n"), ["line 3"]),
    ("a long line", "own.csv", csv_text(HEAD + "1,2,0\n1,2,0,4\n"), ["own.csv"]),
    ("columns alike", "own.csv", csv_text("p_a,p_a,label\n1,2,0\n"), ["'p_a'"]),
    ("semicolons", "own.csv", csv_text("p_a;p_b;label\n0,5;0,5;1\n"), ["semicolons", "sep=';'"]),
    ("tabs", "own.csv", csv_text("p_a\tp_b\tlabel\n0.5\t0.5\t1\n"), ["tabs", "sep="]),
    ("a header alone", "own.csv", csv_text(HEAD), ["holds no rows"]),
    ("other columns", "own.csv", csv_text("a,b,label\n1,2,0\n"), ["a, b, label", "--columns"]),
    ("not UTF-8", "own.csv", content("own.csv", b"p_a,p_b,label\n1,2,\xff\n"), ["own.csv"]),
    ("nested columns", "own.parquet", nested_parquet, ["nested", "prob_0"]),
    ("no parquet", "own.parquet", content("own.parquet", b"PAR1 not"), ["own.parquet"]),
    ("a text as .pt", "own.pt", content("own.pt", b"hello"), ["own.pt"]),
    (
        "a tensor alone",
        "own.pt",
        lambda folder: torch.save(torch.zeros(3, 2), folder / "own.pt"),
        ["dictionary"],
    ),
    (
        "a tensor that claims more",
        "own.pt",
        lambda folder: torch.save(
            {"logits": torch.zeros(1).expand(1 << 40, 4), "labels": torch.zeros(2)},
            folder / "own.pt",
        ),
        ["claims"],
    ),
]


@pytest.mark.parametrize(
    ("name", "write", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_file_is_one_sentence(
    name: str, write: Callable[[Path], Any], words: list[str], tmp_path: Path
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    write(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(lh.UserError) as caught:
        lh.evaluate(tmp_path / name, head="softmax_cce", given="logits")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
@pytest.mark.parametrize("name", ["label", "logit_cat"])
@pytest.mark.parametrize("what", ["part", "ids", "clusters"])
def test_a_column_is_labels_or_numbers_and_nothing_else(
    suffix: str, name: str, what: str, tmp_path: Path
) -> None:
    called = {"columns": "logit_*", "labels": "label"}
    if suffix == ".csv":
        path = csv_file(tmp_path)[0]
    else:
        path = npz(tmp_path, logit_cat=LOGITS, label=LABELS)
        called["columns"] = "logit_cat"
    with pytest.raises(lh.UserError, match=rf"'{name}' was named twice, as (labels|numbers) and"):
        lh.evaluate(path, head="softmax_cce", given="logits", **called, **{what: name})


def test_one_column_may_be_part_and_cluster(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    frame(fold=np.arange(N) % 5).to_csv(path, index=False)
    said = {"head": "softmax_cce", "given": "logits", "tune_on": "0", "measure_on": "1"}
    assert lh.evaluate(path, part="fold", clusters="fold", **said).n == N // 5


def test_a_plain_pickle_is_refused_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Torch warns of the protocol, in two lines before the refusal."""
    (tmp_path / "own.pt").write_bytes(pickle.dumps({"logits": [1.0]}, protocol=4))
    with pytest.raises(lh.UserError, match=r"own\.pt"):
        lh.evaluate(tmp_path / "own.pt", head="softmax_cce", given="logits")
    assert not recwarn.list


@pytest.mark.parametrize("name", ["own.npz", "own.npy", "own.pt"])
def test_a_pickle_is_never_run(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    hidden = np.array([Bomb(mark)], dtype=object)
    if name == "own.npz":
        (tmp_path / name).write_bytes(
            zipped({"logits.npy": npy(LOGITS), "labels.npy": npy(hidden)})
        )
    elif name == "own.npy":
        (tmp_path / name).write_bytes(npy(hidden))
    else:
        torch.save({"logits": torch.zeros(3, 2), "labels": Bomb(mark)}, tmp_path / name)
    labels = npy_pair(tmp_path)[1]["labels"] if name == "own.npy" else None
    assert not mark.exists()
    with pytest.raises(lh.UserError):
        lh.evaluate(tmp_path / name, labels, head="softmax_cce", given="logits")
    assert not mark.exists()


def test_a_file_too_large_for_its_kind_is_refused_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossheads.evaluation import columns

    frame().to_csv(tmp_path / "own.csv", index=False)
    monkeypatch.setattr(columns, "_MAX_TEXT_BYTES", 1_000)
    with pytest.raises(lh.UserError, match=r"kB.*\.npy"):
        lh.evaluate(tmp_path / "own.csv", head="softmax_cce")
    pytest.importorskip("pyarrow")
    frame().to_parquet(tmp_path / "own.parquet", index=False)
    monkeypatch.setattr(columns, "MAX_BYTES", 1_000)
    with pytest.raises(lh.UserError, match=r"300 rows.*\.npy"):
        lh.evaluate(tmp_path / "own.parquet", head="softmax_cce")


def test_ten_gigabytes_are_read_in_pieces_or_refused_at_once(tmp_path: Path) -> None:
    """A sparse file: rows that nobody wrote are zeros on disk."""
    path = tmp_path / "logits.npy"
    rows = 2_500_000_000 // 8
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (rows, 8)}
        )
        file.truncate(file.tell() + rows * 8 * 4)
    np.save(tmp_path / "labels.npy", LABELS)
    with pytest.raises(lh.UserError, match="312500000 rows"):
        lh.evaluate(path, str(tmp_path / "labels.npy"), head="softmax_cce")


@pytest.mark.parametrize(
    "write", [csv_file, parquet_file, torch_file, compressed, npy_pair], ids=lambda w: w.__name__
)
def test_bytes_changed_at_random_are_read_or_refused_in_a_sentence(
    write: Callable[[Path], tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    """60 files each, mostly changed in their headers; a fifth is cut short as well."""
    path, options = write(tmp_path)
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(60):
        changed = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            changed[draw.integers(min(len(whole), draw.choice([200, len(whole)])))] = draw.integers(
                256
            )
        short = draw.integers(len(whole)) if draw.random() < 0.2 else len(whole)
        path.write_bytes(bytes(changed[:short]))
        try:
            lh.evaluate(path, head="softmax_cce", given="logits", intervals=False, **options)
        except lh.UserError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in sentence for sentence in refused)
