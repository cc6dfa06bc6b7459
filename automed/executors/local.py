"""Trials in this machine's own processes, each loaded once and kept warm."""

import contextlib
import os
import signal
import threading
import time
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from automed.executors import Ask, Evaluate, Resources, Tell
from automed.trial import Outcome, Trial

ORPHAN_CHECK_S = 1.0


def make(resources: Resources) -> "LocalExecutor":
    """See `Maker.make`."""
    return LocalExecutor(resources.workers)


class LocalExecutor:
    """A fixed number of worker processes, each with a pipe of its own.

    A pool from the standard library breaks as a whole when one process dies; here a dead worker
    costs its trial and is replaced.
    """

    def __init__(self, workers: int) -> None:
        self._num_workers = workers

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        """See `Executor.run`."""
        workers = [_Worker(evaluate, number) for number in range(self._num_workers)]
        try:
            while True:
                for worker in workers:
                    if worker.trial is None:
                        if (trial := ask()) is None:
                            break
                        worker.take(trial)
                busy = [w for w in workers if w.trial is not None]
                if not busy:
                    return
                ready = connection.wait([w.pipe for w in busy], timeout=1.0)
                for worker in busy:
                    if worker.pipe in ready:
                        trial, outcome = worker.answer()
                        if not worker.alive:
                            worker.restart()
                        tell(trial, outcome)
        finally:
            for worker in workers:
                worker.dismiss()
            for worker in workers:
                worker.stop()


class _Worker:
    """One process and the trial it is busy with."""

    def __init__(self, evaluate: Evaluate, number: int) -> None:
        self._evaluate, self._number = evaluate, number
        self.trial: Trial | None = None
        self.restart()

    def restart(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.alive = True
        self._process: SpawnProcess = context.Process(
            target=_work, args=(theirs, self._evaluate, self._number, os.getpid()), daemon=True
        )
        # a child begins with this mask: Ctrl-C is the driver's, also while a child is starting;
        # the tracker would start with the first child, and unblock the signal again
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()

    def take(self, trial: Trial) -> None:
        self.trial = trial
        # a worker that died while idle is noticed when its answer is read
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(trial)

    def answer(self) -> tuple[Trial, Outcome]:
        assert self.trial is not None
        trial, self.trial = self.trial, None
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(5)
            self.alive = False
            outcome = Outcome(failure=f"the worker died ({_cause(self._process.exitcode)})")
        return trial, outcome

    def dismiss(self) -> None:
        """An idle worker leaves when its pipe closes; a busy one is asked to."""
        self.pipe.close()
        if self.trial is not None:
            self._process.terminate()

    def stop(self) -> None:
        self._process.join(3)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(pipe: Connection, evaluate: Evaluate, number: int, driver: int) -> None:
    """What a worker process does: answer trials until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    # at once: an exception here would rise through whatever library is just calling back
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=_die_with, args=(driver,), daemon=True).start()
    with contextlib.suppress(Exception):  # what is wrong will be the reason of a trial
        evaluate.warm(number)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(evaluate(pipe.recv()))


def _die_with(driver: int) -> None:
    """End this process when the driver is gone, even in the middle of a training."""
    while os.getppid() == driver:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exit_code).name + ", perhaps out of memory"
    return f"exit code {exit_code}"
