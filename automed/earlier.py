"""What a search takes from the record of an earlier one: points, scores and timings, no image."""

from pathlib import Path

from automed.errors import RunError
from automed.front import front, oriented
from automed.space import Point
from automed.task import Direction, is_cost


def learnt_from(folder: Path) -> tuple[tuple[Point, ...], tuple[tuple[Point, float], ...]]:
    """The points on the front of a search, and all it trained to their end, with their losses.

    From its record alone: architectures and scores, of no image anything.

    Raises:
        RunError: The folder is no run, or nothing in it was trained to its end.
    """
    from automed.record import Record

    record = Record.open(folder)
    objectives: dict[str, Direction] = record.settings["plan"]["task"]["objectives"]
    done = [(t, o) for t, o in record.rows() if o.state == "complete"]
    if not done:
        raise RunError(
            f"{folder}: no trial was trained to its end, so there is nothing to start from"
        )
    values = [[o.value(name) for name in objectives] for _, o in done]
    on_front = front(values, list(objectives.values()))
    score = next(place for place, name in enumerate(objectives) if not is_cost(name))
    losses = oriented(values, list(objectives.values()))[:, score]
    every = ((t.point, float(loss)) for (t, _), loss in zip(done, losses, strict=True))
    return tuple(done[i][0].point for i in on_front), tuple(every)


def known_latencies(folder: str | Path) -> dict[str, dict[str, float]]:
    """Timings of an earlier run by `lowering.memo_key`, for the first place it was for alone.

    Every trial has its own, and every graph one for trials that the run did not hold.

    Raises:
        RunError: The folder is no run.
    """
    from automed.lowering import memo_key
    from automed.record import Record
    from automed.timing import places

    record = Record.open(Path(folder))
    plan = record.settings["plan"]
    place = places(plan["targets"], plan["devices"])[0]
    return {
        memo_key(outcome.graph, place, name): {
            cost: value
            for cost, value in outcome.costs.items()
            if cost.startswith("latency") and "@" not in cost
        }
        for rows in (record.baselines(), record.rows())  # a strategy was told of trials only
        for trial, outcome in rows
        if outcome.graph
        for name in ("", trial.name)
    }
