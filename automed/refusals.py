"""What is refused before a search begins, quickly: unknown names, absent runtimes, other spaces."""

from collections.abc import Mapping, Sequence

from automed import devices, registry
from automed.errors import SpaceError, StrategyError, TaskError, UnknownNameError
from automed.plan import Plan
from automed.space import Parameter, Point
from automed.task import Task, is_cost


def require_objectives(task: Task) -> None:
    """Refuse a score that the problem has not, and a direction that makes no sense.

    Raises:
        UnknownNameError: The problem has no such metric.
        TaskError: Less is better, or more, other than is asked for.
    """
    problem = registry.part("problem", task.problem).PROBLEM
    if task.score not in problem.metrics:
        raise UnknownNameError("metric", task.score, problem.metrics)
    for name, direction in task.objectives.items():
        less = is_cost(name) or name in problem.errors
        if direction != (wanted := "minimize" if less else "maximize"):
            raise TaskError(f"{task.name}: objectives: {direction} {name}; write {name}: {wanted}")


def require_families(task: Task) -> None:
    """Refuse families and networks that nothing answers to.

    Raises:
        UnknownNameError: No such family competes.
        TaskError: No such family is behind a network.
    """
    known = registry.places("family")
    for name in task.families:
        if name not in known:
            raise UnknownNameError("family", name, known)
    for name, network in task.networks.items():
        if (family := str(network["family"])) not in known:
            wrong = UnknownNameError("family", family, known)
            raise TaskError(f"{task.name}: networks.{name}: {wrong}")


def require_one_rule(plan: Plan, *, own: bool, rungs: Sequence[int]) -> None:
    """Refuse a stopping rule, with rungs, around a strategy that has its own.

    Raises:
        StrategyError: There are two.
    """
    if rungs and own:
        raise StrategyError(
            f"{plan.strategy} stops trainings itself; leave out --stopping {plan.stopping}, or "
            "take another strategy, for example optuna:tpe"
        )


def require_places(plan: Plan) -> None:
    """Refuse what cannot run or be reached, and costs in places that were not asked for.

    Raises:
        UnknownNameError: No target or no device is named, or none of that name is known.
        ExportError: A target's own yardstick does not run on it.
        DeviceError: A device cannot be reached.
        TaskError: An objective or a limit is of a place that is not there.
    """
    from automed.timing import places

    for kind, given in (("exporter", plan.targets), ("device", plan.devices)):
        if not given:
            raise UnknownNameError(kind, "", registry.names(kind))
        for name in given:
            registry.part(kind, name)
    others = [place.label for place in places(plan.targets, plan.devices)[1:]]
    if len(set(others)) < len(others):
        raise TaskError(f"two of {', '.join(others)} have one name; give one, or other addresses")
    for name in (*plan.task.objectives, *plan.task.limits):
        label = name.partition("@")[2]
        if label and label not in others:
            known = f" ({', '.join(others)})" if others else ""
            raise TaskError(
                f"{name} is asked for, and {label} is neither a target nor a device after the "
                f"first{known}; give --target "
                f"{','.join(plan.targets)},... or --device {','.join(plan.devices)},..."
            )
    for target in plan.targets:
        exporter = registry.part("exporter", target)
        exporter.load(exporter.reference()).rehearse()
    for device in plan.devices:
        devices.device(device).describe()


def require_within(space: Mapping[str, Parameter], points: Sequence[Point]) -> None:
    """Refuse points of an earlier search that do not lie in this one's space.

    Raises:
        SpaceError: One does not.
    """
    for point in points:
        if point.keys() != space.keys() or any(v not in space[n] for n, v in point.items()):
            raise SpaceError(
                "the search to start from had another space; give --family as it was searched "
                "there, on images of as many dimensions, or leave out --warm-start"
            )
