"""`python -m automed` is the command line."""

from automed.cli import main

raise SystemExit(main())
