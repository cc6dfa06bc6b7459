"""The command line; every command imports what it needs when it runs, so --help stays quick."""

import sys

import typer

from automed.cli import devices, parts, predict, search
from automed.errors import AutomedError

app = typer.Typer(
    name="automed",
    help="Searches network architectures for medical images and exports a small, verified model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start with: [bold]automed search --task lung-ct[/bold]",
)
for module in (search, predict, devices, parts):
    app.add_typer(module.commands)

INTERRUPTED = 130
"""What typer makes of Ctrl-C where the search does not handle it, such as in reading the data."""


def main() -> int:
    """Run the command line; errors a user can mend are one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except AutomedError as error:
        print(f"automed: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("automed: interrupted", file=sys.stderr)
        raise
    return 0
