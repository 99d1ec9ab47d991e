"""Fill the marked parts of a page and leave the rest as it is."""

from pathlib import Path

from lossheads.errors import UserError


def fill(path: Path, parts: dict[str, str]) -> None:
    """Put each text between `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises:
        UserError: If the page has not exactly one such pair for every name; it is left as it was.
    """
    text = path.read_text(encoding="utf-8")
    for name, made in parts.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise UserError(
                f"{path} must have one part named {name}: one line "
                f"{begin.strip()} and one line {end}"
            )
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{made}\n\n{end}{rest.split(end)[1]}"
    path.write_text(text, encoding="utf-8")
