"""Shared by all tests: lossheads first, so that torch's threads are told to sleep, not spin."""

import lossheads  # noqa: F401
