"""Check every case of one framework and print codes as JSON: `python -m linting.run_corpus keras`.

Keras settles its backend when it is imported, so each backend needs a process of its own.
"""

import json
import sys
import traceback
from importlib import import_module

import lossheads as lh
from lossheads.api.check import unpacked

from .corpus import CASES


def codes(name: str) -> dict[str, list[str]]:
    """Findings, hints and what was not checked of one case."""
    report = lh.check(**unpacked(CASES[name].make(), name))
    return {
        "findings": list(report.codes),
        "hints": [hint.code for hint in report.hints],
        "not_checked": list(report.not_checked),
    }


if __name__ == "__main__":
    for module in sys.argv[1:]:
        import_module(f"linting.corpus_{module}")
    said: dict[str, object] = {}
    for name in CASES:
        try:
            said[name] = codes(name)
        except Exception as error:
            said[name] = {"raised": f"{error}", "trace": traceback.format_exc()[-600:]}
    print(json.dumps(said))
