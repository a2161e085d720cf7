"""`python -m stream` and the `framewarden` command."""

import stream.began  # noqa: F401 - first of all, since it notes the time


def main() -> None:
    """Runs the command."""
    from stream.cli import app  # noqa: PLC0415 - after the time is noted

    app()


if __name__ == "__main__":
    main()
