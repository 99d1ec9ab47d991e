"""`report` and `explain` one after the other on the folder that this is called in.

Prints, as the last line, each one's exit status, the page it wrote, and the most memory used.
"""

import json
import os
import resource
import sys
from pathlib import Path

from lossheads.cli import main

CALLS = [
    ["report", "--html", "page.html"],
    ["explain", "image=0", "runs=outputs", "--html", "page.html"],
]


def limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def called() -> tuple[int, str]:
    page = Path("page.html")
    os.environ.pop("HYDRA_FULL_ERROR", None)  # which the command line sets for its own time
    try:
        main.main()
    except SystemExit as ended:
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        page.unlink(missing_ok=True)
        return int(ended.code or 0), text
    raise AssertionError("main returns only by SystemExit")


if __name__ == "__main__":
    limit_memory(4 << 30)
    extra = sys.argv[1:]
    found = []
    for words in CALLS:
        sys.argv = ["lossheads", *words, *extra]
        print(f"== {words[0]}", file=sys.stderr, flush=True)
        found.append(called())
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([found, used]))
    sys.stdout.flush()
    os._exit(0)
