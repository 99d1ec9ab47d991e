"""The process of a peer: one JSON request per line of standard input, one response per line."""

import json
import os
import sys
import traceback
from time import perf_counter
from typing import Any

from benchmarks.training_speed.peers import Peer, Run, find_peer
from benchmarks.training_speed.setting import Setting


class Trainer:
    """Keeps what was built for the last setting, so that rounds do not build again."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._setting: Setting | None = None
        self._run: Run | None = None

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns `seconds` of the steps and `wall` of everything, or `failed`."""
        started = perf_counter()
        setting = Setting(**request["setting"])
        try:
            if self._run is None or setting != self._setting:
                self._run = None  # free the memory of the last setting first
                self._run, self._setting = self._peer.build(setting), setting
            seconds = self._run(request["members"], request["steps"])
        except Exception as error:
            traceback.print_exc()
            return {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        return {"seconds": seconds, "wall": perf_counter() - started}


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    # Progress bars must not be printed between the responses.
    responses = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if hasattr(os, "sched_setaffinity"):  # libraries count these cores, whatever else they read
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    peer, started = find_peer(name), perf_counter()
    peer.load()
    responses.write(json.dumps({"ready": perf_counter() - started}) + "\n")
    trainer = Trainer(peer)
    for line in sys.stdin:
        responses.write(json.dumps(trainer.handle(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
