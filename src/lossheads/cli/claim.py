"""lossheads claim list | run | new: the claims from the command line."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Literal

from lossheads.cli.arguments import USUAL_VIEW, VIEW_HELP, Parser, View, take_view
from lossheads.errors import UserError, printable, reason, refusing_to_write
from lossheads.whole_files import whole_file

if TYPE_CHECKING:
    from lossheads.claims.history import Version
    from lossheads.claims.judge import Verdict
    from lossheads.claims.schema import Claim

Seeds = int | Literal["auto"] | None


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads claim list | run | new`; returns the exit status."""
    words, view = take_view(words, "claim")
    # Settings may stand anywhere between the flags; argparse needs its positionals in one piece.
    settings = [word for word in words if re.match(r"\+*[\w.]+=", word)]
    given = _parser().parse_args([word for word in words if word not in settings])

    if view != USUAL_VIEW and (view.all or given.verb != "run"):
        flag = next(f"--{name}" for name, asked in asdict(view).items() if asked)
        raise UserError(f"claim {given.verb} takes no {flag}; --quiet and --json are for claim run")
    if given.verb == "new":
        from lossheads.claims.keys import write_template

        write_template(Path(given.file))
        sys.stdout.write(f"Written: {given.file}; run it with lossheads claim run {given.file}\n")
        return 0

    from lossheads.analysis.terminal import wide_console
    from lossheads.api.running import judge_claim, one_sentence, own_folders
    from lossheads.claims.history import read_history
    from lossheads.claims.reading import find_claim, readable_claims
    from lossheads.claims.render.html import write_claims_page
    from lossheads.runs.config import claim_folder, compose

    folder = Path(given.claims) if given.claims else claim_folder()
    if not folder.is_dir():
        raise UserError(f"claim finds no folder {folder}: name one that holds claim files")
    if given.verb == "list":
        claims, troubles = readable_claims(folder)
        _list(claims)
        return _skipped(troubles, 0)
    if given.name == "all":
        claims, troubles = readable_claims(folder)
    else:
        claims, troubles = [find_claim(given.name, folder)], []
    seeds, extra = _settings([*settings, *given.settings])
    if not claims and not troubles:
        raise UserError(f"claim finds no claim file (*.yaml) in {folder}: name another folder")
    reference = Path(given.reference)
    if given.save:
        for claim in claims:
            _check_place(reference / claim.slug)
    histories = {claim.slug: read_history(reference / claim.slug) for claim in claims}
    outputs = Path(compose(extra)["output_dir"])
    folders = own_folders("claim run", given.config_dir, trust)
    statuses, documents = [0], list[Path]()
    for claim in claims:
        try:
            with one_sentence():
                verdict = judge_claim(claim, seeds, extra, folders, trust, quiet=view.silent)
        except UserError as error:
            if given.name != "all":
                raise
            troubles.append(f"claim {claim.slug}: {error}")
            continue
        history = histories[claim.slug]
        statuses.append(_show(verdict, outputs, reference, given.save, history, view))
        documents.append(outputs / "claims" / claim.slug / "verdict.json")
    if len(statuses) > 1:
        report = write_claims_page(outputs / "claims")
        if not view.silent:
            wide_console().print(f"Report over all claims run so far: {report}", soft_wrap=True)
    if view.json:
        _print_json(documents, as_list=given.name == "all")
    return _skipped(troubles, max(statuses, key=lambda status: (status == 1, status)))


def _skipped(troubles: Sequence[str], status: int) -> int:
    """Name and count the claims left out; returns 2 when there are any, else `status`."""
    from lossheads.analysis.format import count_of

    for trouble in troubles:
        sys.stderr.write(f"lossheads: {printable(trouble)}\n")
    if troubles:
        sys.stderr.write(f"lossheads: {count_of(len(troubles), 'claim')} skipped\n")
    return 2 if troubles else status


def _print_json(files: Sequence[Path], as_list: bool) -> None:
    """The verdict of one claim, or a list of them."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    print(json.dumps(found if as_list else found[0], indent=1, ensure_ascii=False))


def _show(
    verdict: "Verdict",
    outputs: Path,
    reference: Path,
    save: bool,
    history: "Sequence[Version]",
    view: View,
) -> int:
    """Write and print a verdict, compare it with the reference; returns the exit status."""
    from lossheads.analysis.html import humanize
    from lossheads.analysis.terminal import wide_console
    from lossheads.claims.render.console import print_verdict
    from lossheads.claims.render.markdown import write_verdict
    from lossheads.claims.render.pictures import draw
    from lossheads.claims.verdict_file import exit_status

    console, claim = wide_console(), verdict.claim
    folder = outputs / "claims" / claim.slug
    page = write_verdict(verdict, folder, draw(verdict, outputs, folder), history)
    if view.quiet:
        console.print(f"{claim.slug}: {humanize(verdict.verdict)}")
    elif not view.json:
        print_verdict(verdict, console, history)
        # The verdict stands above its tables, which may have moved it off the screen.
        console.print(f"{claim.slug}: {humanize(verdict.verdict)}. Written: {page}", soft_wrap=True)
    if verdict.chosen and not view.silent:
        console.print(f"Dashboard: lossheads board {outputs}", soft_wrap=True)
    if save and not verdict.failed:
        _save_reference(folder, reference / claim.slug)
    status = exit_status(verdict, reference)
    if view.silent:
        return status
    if status == 3:
        console.print(f"This is not the verdict in {reference / claim.slug}.", soft_wrap=True)
    elif status == 0 and (reference / claim.slug / "verdict.json").is_file():
        console.print(f"This is the verdict in {reference / claim.slug}.", soft_wrap=True)
    return status


def _save_reference(folder: Path, reference: Path) -> None:
    """Copy the files for version control: figures, page and, last of all, numbers."""
    new = [path for path in folder.iterdir() if path.suffix in (".json", ".md", ".png")]
    with refusing_to_write(reference, "the reference", "--reference FOLDER"):
        reference.mkdir(parents=True, exist_ok=True)
        for path in sorted(new, key=lambda path: path.suffix == ".json"):
            with whole_file(reference / path.name) as file:
                file.write(path.read_bytes())
        for old in reference.glob("*.png"):  # figures of arms that no longer exist
            if old.name not in {path.name for path in new}:
                old.unlink()


def _check_place(reference: Path) -> None:
    """Refuse a reference that cannot be saved before hours are spent on its numbers."""
    there = next(path for path in (reference, *reference.parents) if path.exists())
    try:
        with TemporaryFile(dir=there):  # root may write everywhere, or so its rights say
            return
    except OSError as error:
        raise UserError(
            f"claim run --save-reference cannot write {reference}, because nothing can be created "
            f"in {there} ({reason(error)}): name another folder with --reference FOLDER"
        ) from error


def _list(claims: "Sequence[Claim]") -> None:
    from rich.table import Table

    from lossheads.analysis.tables import FoldedName
    from lossheads.analysis.terminal import wide_console

    shown = Table(title=f"{len(claims)} claims; run one with: lossheads claim run NAME")
    for name in ("claim", "source", "date", "what was said"):
        shown.add_column(name, overflow="fold")
    for claim in claims:
        document = FoldedName(claim.source.document)
        shown.add_row(FoldedName(claim.slug), document, claim.source.date, claim.says)
    wide_console().print(shown)


def _settings(words: Sequence[str]) -> tuple[Seeds, list[str]]:
    """Seeds and the overrides left over."""
    seeds: Seeds = None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"claim run got {word!r} as well: one claim a call, or all")
        if not (key in ALLOWED or key.lstrip("+").startswith("executor.")):
            raise UserError(
                f"claim run got {word!r}: a claim's settings are fixed; only "
                f"{', '.join(ALLOWED)} can be set"
            )
        if key == "seeds":
            seeds = _seeds(value)
    return seeds, [word for word in words if not word.startswith("seeds=")]


def _seeds(word: str) -> int | Literal["auto"]:
    if word == "auto":
        return "auto"
    if not word.isdecimal() or len(word) > 9:  # more digits are no number of seeds
        shown = word if len(word) <= 40 else f"{word[:40]}…"
        raise UserError(f"claim run: seeds must be a number or auto, got {shown}")
    return int(word)


# Settings that change where, on which device or how often a claim runs, but not what it tests.
ALLOWED = ("seeds", "device", "device.threads", "executor", "output_dir", "data_dir", "force")


def _parser() -> Parser:
    """Flags and positionals of `lossheads claim list | run`."""
    parser = Parser(prog="lossheads claim", description="Claims and their verdicts.")
    parser.set_defaults(claims=None)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|run|new")
    listed = verbs.add_parser("list", help="list the claims and their sources")
    new = verbs.add_parser("new", help="write a claim file to start from")
    new.add_argument("file", help="the file (.yaml); it must not exist")
    run = verbs.add_parser("run", help="train what is missing, print the verdict")
    run.add_argument("name", help="a claim's name, a claim file (.yaml), or all")
    run.add_argument("settings", nargs="*", help=f"{', '.join(ALLOWED)}, as KEY=VALUE")
    run.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="YAML of your own for the arms (FOLDER/head/NAME.yaml); its package needs --trust",
    )
    run.add_argument(
        "--reference",
        default="outputs/reference",
        help="folder of committed verdicts to compare with; default: %(default)s",
    )
    run.add_argument(
        "--save-reference",
        action="store_true",
        dest="save",
        help="save this verdict as the reference",
    )
    for flag in ("quiet", "json"):
        run.add_argument(f"--{flag}", action="store_true", help=VIEW_HELP[flag])
    for verb in (listed, run):
        verb.add_argument("--claims", metavar="FOLDER", help="claim files of your own")
    return parser
