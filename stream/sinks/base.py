"""The seam between scoring and wherever its events go."""

from typing import Protocol

from stream.events import Event


class Sink(Protocol):
    """Takes events, in order, from one publishing thread."""

    def publish(self, event: Event) -> None:
        """Takes an event. It is delivered for certain only once `flush` has returned.

        Raises:
            OutputError: It cannot be delivered.
        """

    def flush(self) -> None:
        """Returns once everything published is delivered for good.

        Raises:
            OutputError: Something published cannot be delivered.
        """

    def close(self) -> None:
        """Flushes and lets go of everything held. A second call does nothing.

        Raises:
            OutputError: Something published cannot be delivered; all is let go of nevertheless.
        """
