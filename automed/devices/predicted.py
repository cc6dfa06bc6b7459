"""A device that was timed before: latencies are predicted from those of other models."""

ADDRESS = "FILE"


def found() -> list[str]:
    """None."""
    return []
