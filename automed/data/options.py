"""Reads the options behind a question mark in the name of embedded data."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from automed.errors import DataError

Options = Mapping[str, tuple[int, int, int]]
"""Option to its default, least and greatest value."""


def parse(source: str, options: Options, example: str) -> dict[str, int]:
    """Every option's value in a source such as "phantom:lung-ct?seed=3&patients=50".

    Args:
        source: A name, and perhaps options after a question mark.
        options: What can be chosen.
        example: Options as they could be written, for errors.

    Raises:
        DataError: An option is unknown, given twice, not a whole number or out of range.
    """
    name, _, query = source.partition("?")
    cure = f"write for example {name}?{example}"
    given: dict[str, int] = {}
    for option, text in parse_qsl(query, keep_blank_values=True):
        if option not in options or option in given:
            problem = "is given twice" if option in given else "is not known"
            raise DataError(
                f"option {option!r} of {source!r} {problem}; "
                f"allowed: {', '.join(options)}, each once; {cure}"
            )
        _, least, greatest = options[option]
        if not (text.isascii() and text.isdigit() and least <= int(text) <= greatest):
            raise DataError(
                f"option {option}={text!r} of {source!r} is no whole number from {least} to "
                f"{greatest}; {cure}"
            )
        given[option] = int(text)
    return {option: given.get(option, default) for option, (default, _, _) in options.items()}
