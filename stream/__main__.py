"""`python -m stream` and the `framewarden` command."""

import sys
import traceback

import stream.began  # noqa: F401 - first of all, since it notes the time

EXIT_DEFECT = 70
"""`EX_SOFTWARE` of sysexits.h. Python's own 1 would say that something was found."""


def main() -> None:
    """Runs the command."""
    from stream.cli import app  # noqa: PLC0415 - after the time is noted

    try:
        app()
    except Exception:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
        sys.exit(EXIT_DEFECT)


if __name__ == "__main__":
    main()
