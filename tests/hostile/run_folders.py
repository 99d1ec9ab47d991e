"""Attacks by a folder of runs that a stranger made: a name, and what is done to an honest one."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from lossheads.records import checksum

SECRET = "s3cr3t-of-the-user"
MARKUP = "<script>alert(1)</script>"
TERMINAL = "\x1b]0;owned\x07\x1b[2J"
Content = dict[str, Any]
Attack = Callable[[Path], None]


def runs(outputs: Path) -> list[Path]:
    """The folders of runs, by name."""
    return sorted((outputs / "runs").iterdir())


def read(folder: Path) -> Content:
    content: Content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    del content["schema_version"], content["checksum"]
    return content


def write(folder: Path, content: Content) -> None:
    """As a stranger would: with the checksum that belongs to it."""
    marks = {"schema_version": 1, "checksum": checksum({"schema_version": 1, **content})}
    text = json.dumps(marks | content, separators=(",", ":"))
    (folder / "result.json").write_text(text, encoding="utf-8")


def changed(change: Callable[[Content], object]) -> Attack:
    """Every result changed by `change`."""

    def attack(outputs: Path) -> None:
        for folder in runs(outputs):
            content = read(folder)
            change(content)
            write(folder, content)

    return attack


def config(**values: Any) -> Attack:
    """Keys of the configuration, __ for a dot, set; None of a key's own stays None."""

    def change(content: Content) -> None:
        for key, value in values.items():
            *above, last = key.split("__")
            section = content["config"]
            for name in above:
                section = section[name]
            section[last] = value

    return changed(change)


def without(key: str) -> Attack:
    return changed(lambda content: content["config"].pop(key))


def dataset(target: str, **options: Any) -> Attack:
    return config(dataset={"_target_": f"lossheads.datasets.{target}", **options})


def arrays(**change: Callable[[Any], Any]) -> Attack:
    """Arrays of every predictions.npz changed."""

    def attack(outputs: Path) -> None:
        for folder in runs(outputs):
            path = folder / "predictions.npz"
            with np.load(path) as loaded:
                held = {name: loaded[name] for name in loaded.files}
            for name, make in change.items():
                held[name] = make(held[name].copy())
            np.savez(path, **held)

    return attack


def with_value(array: Any, value: Any) -> Any:
    array[0] = value
    return array


def predictions(write_at: Callable[[Path], object]) -> Attack:
    """Something else in the place of every predictions.npz."""

    def attack(outputs: Path) -> None:
        for folder in runs(outputs):
            (folder / "predictions.npz").unlink()
            write_at(folder / "predictions.npz")

    return attack


def tests(change: Callable[[Content], object]) -> Attack:
    """Every measurement of the test split changed."""
    return changed(
        lambda content: [change(step["test"]) for step in content["history"] if step["test"]]
    )


def metric(value: float | None) -> Attack:
    return tests(lambda measured: measured["metrics"].update(accuracy_score=value))


def renamed_metric(name: str) -> Attack:
    def change(content: Content) -> None:
        for step in content["history"]:
            for measured in filter(None, (step["val"], step["test"])):
                for table in ("metrics", "baselines"):
                    measured[table][name] = measured[table].pop("accuracy_score")
        content["metric_info"][name] = content["metric_info"].pop("accuracy_score")

    return changed(change)


def archive(members: Mapping[str, bytes], packed: bool = True) -> Callable[[Path], None]:
    def write_at(path: Path) -> None:
        kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", kind) as file:
            for name, content in members.items():
                file.writestr(f"{name}.npy", content)

    return write_at


def npy(array: Any, pickled: bool = False) -> bytes:
    written = BytesIO()
    np.lib.format.write_array(written, np.asanyarray(array), allow_pickle=pickled)
    return written.getvalue()


class Trap:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("trap"),))


def pickled(path: Path) -> None:
    np.savez(path, logits=np.array([Trap()], dtype=object), allow_pickle=True)


def bomb(path: Path) -> None:
    """1.2 GB of zeros in 6 MB; one for all runs."""
    made = path.parents[2] / "bomb.npz"
    if made.exists():
        path.hardlink_to(made)
        return
    held = {"example_ids": npy(np.arange(2)), "labels": npy(np.zeros(2, np.int64))}
    head = BytesIO()
    shape = (30_000_000, 10)
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, content in held.items():
            file.writestr(f"{name}.npy", content)
        with file.open("logits.npy", "w", force_zip64=True) as member:
            member.write(head.getvalue())
            for _ in range(120):
                member.write(bytes(10_000_000))
    made.hardlink_to(path)


def forged(path: Path) -> None:
    """A header that claims 40 TB."""
    head = BytesIO()
    shape = (10**12, 10)
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    archive({"logits": head.getvalue(), "labels": npy(np.zeros(2))}, packed=False)(path)


def place(name: str, write_at: Callable[[Path], object]) -> Attack:
    """Something at `name` below the outputs."""

    def attack(outputs: Path) -> None:
        path = outputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_at(path)

    return attack


def nested(depth: int) -> Attack:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return config(model=value)


def raw(text: str) -> Attack:
    """A result file beside the others."""
    return place("runs/zzz/result.json", lambda path: path.write_text(text, encoding="utf-8"))


def classes(count: int) -> Attack:
    def attack(outputs: Path) -> None:
        changed(lambda c: c.update(class_names=[f"{MARKUP}{at}" for at in range(count)]))(outputs)

    return attack


def names(*shown: str) -> Attack:
    return changed(lambda c: c.update(class_names=[f"{shown[0]}{at}" for at in range(10)]))


def fashion_mnist(outputs: Path) -> None:
    config(
        dataset={"_target_": "lossheads.datasets.FashionMNIST", "classes": 10},
        choices__dataset="fashion_mnist",
    )(outputs)


def planted_cache(outputs: Path) -> None:
    """Links where a decoded copy would be written, to a file and a folder of the user's."""
    config(dataset=FILES | {"path": "theirs.csv"})(outputs)
    (outputs / "cache").symlink_to(outputs.parent / "private", target_is_directory=True)


def planted_fetch(outputs: Path) -> None:
    """A folder of the user's where downloads are cleared away."""
    fashion_mnist(outputs)
    (outputs / "cache").symlink_to(outputs.parent / "private", target_is_directory=True)


def outside(name: str) -> Attack:
    """The name of a run leads to another folder."""

    def attack(outputs: Path) -> None:
        private = outputs.parent / "private" / "run"
        shutil.copytree(runs(outputs)[0], private)
        content = read(private)
        content["class_names"] = [f"{SECRET}{at}" for at in range(10)]
        write(private, content)
        changed(lambda c: c.update(name=name))(outputs)
        for folder in runs(outputs):
            (folder / "predictions.npz").unlink()

    return attack


FILES = {
    "_target_": "lossheads.datasets.Files",
    "path": None,
    "kind": "one_of",
    "class_names": None,
    "channels": 1,
    "resize": None,
    "val_share": 0.1,
    "test_share": 0.2,
    "seed": 0,
}
BLOBS = {
    "classes": 10,
    "dimensions": 20,
    "separation": 3.0,
    "shares": None,
    "train": 100,
    "val": 100,
    "test": 355,
    "seed": 0,
}


def blobs(**options: Any) -> Attack:
    return dataset("SyntheticBlobs", **(BLOBS | options))


def reads(path: str, **options: Any) -> Attack:
    return config(dataset=FILES | options | {"path": path})


HUGE = {"train": 10_000_000, "dimensions": 100}  # 8 GB of numbers, drawn in a minute
ATTACKS: dict[str, Attack] = {
    # Names and texts.
    "class names with markup": names(MARKUP),
    "class names with terminal codes": names(TERMINAL),
    "class names of half a character": names("\ud800"),
    "a data set's name with markup and codes": config(choices__dataset=MARKUP + TERMINAL),
    "a head's name with markup and codes": config(choices__head=MARKUP + TERMINAL),
    "a metric's name with markup and codes": renamed_metric(MARKUP + TERMINAL),
    "a metric's name of half a character": renamed_metric("\ud800"),
    "a setting with markup": config(optimizer__lr=MARKUP),
    "notes and environment with markup": changed(
        lambda c: c.update(notes=[MARKUP + TERMINAL], environment={"device": MARKUP + TERMINAL})
    ),
    "10,000 classes": classes(10_000),
    "no class": classes(0),
    "three classes for ten": classes(3),
    # Numbers.
    "a metric is NaN": metric(None),
    "a metric is 1e308": metric(1e308),
    "a metric is -1e308 at one seed": tests(lambda m: m["metrics"].update(log_loss=-1e308)),
    "no metric at all": tests(lambda m: m.update(metrics={}, baselines={}, per_class={})),
    "10^300 examples": tests(lambda m: m.update(n=10**300)),
    "no example": tests(lambda m: m.update(n=0)),
    "a seed of 300 digits": config(seed=10**300),
    "a step of 300 digits": changed(lambda c: c["history"][-1].update(step=10**300, epoch=1e308)),
    "values per class of another length": tests(
        lambda m: m.update(per_class={"recall": [0.5] * 7, "precision": [None] * 7})
    ),
    "10,000 metrics": tests(lambda m: m["metrics"].update({f"m{k}": 0.5 for k in range(10_000)})),
    "a metric's range is turned round": changed(
        lambda c: c["metric_info"]["accuracy_score"].update(low=1.0, high=0.0, perfect=-1e308)
    ),
    # Configurations.
    "no head": without("head"),
    "no data set": without("dataset"),
    "no data_dir": without("data_dir"),
    "a head that is a list": config(head=["a"]),
    "a data set that is a word": config(dataset="digits"),
    "choices that are mappings": config(choices__model={"a": [1]}),
    "a data_dir that is a number": config(data_dir=7),
    "settings 150 deep": nested(150),
    "settings 5,000 deep": raw('{"schema_version":1,"a":' + "[" * 5000 + "]" * 5000 + "}"),
    "trust in the file": config(trust=["evil"], head={"_target_": "evil.Head", "_partial_": True}),
    "a head that runs a program": config(
        head={"_target_": "os.system", "command": "touch trap", "_partial_": True}
    ),
    "a head that is no head": config(head={"_target_": "lossheads.heads.formulas.formula"}),
    "a data set that is a reader of tables": dataset("tables.read_csv", path="x"),
    "a data set that is a download": dataset("fetching.from_debian", folder="."),
    "a data set that is a cache": dataset("cache.cached_array", cache=".", name="a", decode="b"),
    "a data set that is a checksum": dataset("published.decode_idx", contents=["a"]),
    "a data set that reads photographs": dataset("garments.read_garments", data_dir=".", cache="."),
    "another head for the same logits": config(
        head={"_target_": "lossheads.heads.SingleLogitBCE", "_partial_": True}
    ),
    # Data sets.
    "synthetic data of 8 GB": blobs(**HUGE),
    "synthetic data of 10^15 rows": blobs(test=10**15),
    "a rotation of 10^6 dimensions": blobs(dimensions=10**6),
    "10^9 classes": blobs(classes=10**9, dimensions=10**9),
    "a set of 10^9 groups": dataset(
        "SyntheticGroups",
        **{k: v for k, v in BLOBS.items() if k != "dimensions"},
        groups=10**9,
        labels="hard",
        smoothing=0,
    ),
    "a canvas of 10^6 pixels": dataset(
        "Canvas", size=10**6, most=3, empty=0.1, train=10**6, val=1, test=355, seed=0
    ),
    "the root folder as data": reads("/"),
    "an address as data": reads("https://example.com/data.npz"),
    "the user's table as data": reads("private/table.csv"),
    "the user's arrays as data": reads("private/arrays.npz"),
    "a pipe as data": reads("pipe.npz"),
    "a device as data": reads("/dev/zero"),
    "a folder of pipes as data": reads("pipes"),
    "a path through a link": reads("outputs/link/table.csv"),
    "data that would be fetched": fashion_mnist,
    "a cache that is the user's folder": planted_cache,
    "downloads in the user's folder": planted_fetch,
    # Predictions.
    "torn predictions": predictions(lambda path: path.write_bytes(b"PK\x03\x04torn")),
    "pickled predictions": predictions(pickled),
    "predictions that unpack to a gigabyte": predictions(bomb),
    "predictions that claim 40 TB": predictions(forged),
    "predictions that are a pipe": predictions(os.mkfifo),
    "predictions that are a device": predictions(lambda path: path.symlink_to("/dev/zero")),
    "predictions that are a folder": predictions(Path.mkdir),
    "predictions of a private file": predictions(
        lambda path: path.symlink_to(path.parents[3] / "private/table.csv")
    ),
    "labels out of range": arrays(labels=lambda a: a + 7),
    "labels below 0": arrays(labels=lambda a: a - 5),
    "labels that are NaN": arrays(labels=lambda a: a * np.nan),
    "labels of two dimensions": arrays(labels=lambda a: np.stack([a, a], 1)),
    "labels that are distributions": arrays(labels=lambda a: np.full((len(a), 10), 0.3)),
    "logits that are NaN": arrays(logits=lambda a: a * np.float32(np.nan)),
    "logits that are infinite": arrays(logits=lambda a: with_value(a, np.inf)),
    "logits of 1e38": arrays(logits=lambda a: with_value(a, 1e38)),
    "more logits than the head has": arrays(logits=lambda a: np.concatenate([a, a], 1)),
    "row numbers of 2^62": arrays(example_ids=lambda a: a + 2**62),
    "row numbers below 0": arrays(example_ids=lambda a: -1 - a),
    "row numbers all alike": arrays(example_ids=lambda a: a * 0),
    "a digest with markup": arrays(examples_digest=lambda a: np.array(MARKUP)),
    "one row in one run": lambda outputs: arrays_of(runs(outputs)[0]),
    # Folders.
    "a run named as a folder outside": outside("../../private/run"),
    "a run named by a whole path": outside("/etc"),
    "a run named with codes": changed(lambda c: c.update(name=MARKUP + TERMINAL)),
    "a run named by a NUL": changed(lambda c: c.update(name="a\0b")),
    "a result that is a pipe": place("runs/zzz/result.json", os.mkfifo),
    "a result that is a device": place(
        "runs/zzz/result.json", lambda path: path.symlink_to("/dev/zero")
    ),
    "a result that is a folder": place("runs/zzz/result.json", Path.mkdir),
    "a link that leads to itself": place("runs/zzz", lambda path: path.symlink_to(path)),
    "a run that is the root folder": place("runs/zzz", lambda path: path.symlink_to("/")),
    "a folder's name with codes": place(f"runs/{TERMINAL[:9]}/a", lambda path: path.touch()),
    "an empty result": raw(""),
    "a result of 3 GB of holes": place(
        "runs/zzz/result.json", lambda path: (path.touch(), os.truncate(path, 3 << 30))
    ),
}


def arrays_of(folder: Path) -> None:
    """Two rows in one run alone, under the digest of all."""
    path = folder / "predictions.npz"
    with np.load(path) as loaded:
        held = {name: loaded[name] for name in loaded.files}
    np.savez(path, **{name: a if not a.ndim else a[:2] for name, a in held.items()})
