"""`make run` and `make demo-check`: the whole service on this machine, for people and for CI."""

from __future__ import annotations

import sys

from examples.demo.terminal import Stop, own_keys

with own_keys():
    stop = Stop()
    # Everything else is imported when Ctrl-C is listened to: it takes a moment.
    from examples.demo.run import main

    code = main(stop)
sys.exit(code)
