"""Callbacks that receive the progress of a run as numbers. Texts go to the log."""


class RunProgress:
    """Receives the progress of a run. This base class ignores it; the command line shows it."""

    def listing(self, done: int, photos: int) -> None:
        """Report how many photos of a folder are listed."""

    def begin(self, images: int) -> None:
        """Report that the work starts, and how many images it has."""

    def advance(self, done: int, failed: int) -> None:
        """Report how many images are done in total, and how many rows failed."""
