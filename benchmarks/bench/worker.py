"""The process a peer lives in: one order a line on standard input, one answer a line back."""

import json
import os
import sys
import traceback
from time import perf_counter
from typing import Any

from bench.peers import Peer, Run, find_peer
from bench.setting import Setting


class Bench:
    """Keeps what was built for the last setting, so that rounds do not build again."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._setting: Setting | None = None
        self._run: Run | None = None

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Returns `seconds` of the steps and `wall` of everything, or `failed`."""
        started = perf_counter()
        setting = Setting(**order["setting"])
        try:
            if self._run is None or setting != self._setting:
                self._run = None  # let go of the last setting's memory first
                self._run, self._setting = self._peer.build(setting), setting
            seconds = self._run(order["members"], order["steps"])
        except Exception as error:
            traceback.print_exc()
            return {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        return {"seconds": seconds, "wall": perf_counter() - started}


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    # Progress bars must not land between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if hasattr(os, "sched_setaffinity"):  # every library counts these, whatever else it reads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    peer, started = find_peer(name), perf_counter()
    peer.load()
    answers.write(json.dumps({"ready": perf_counter() - started}) + "\n")
    bench = Bench(peer)
    for line in sys.stdin:
        answers.write(json.dumps(bench.obey(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
