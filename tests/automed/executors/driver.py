"""A driver that is killed in the middle of its trials: folder, then `automed` runs as usual."""

import signal
import sys

from evaluations import Scripted

from automed.executors import Resources, local
from automed.trial import Trial

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    numbers = iter(range(2))

    def ask():
        number = next(numbers, None)
        return None if number is None else Trial(number, "x", {"seconds": 600.0}, 1)

    local.make(Resources(workers=2)).run(ask, Scripted(sys.argv[1]), print)
