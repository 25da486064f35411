"""Callbacks that receive the progress of a run as numbers. Messages are logged instead."""


class RunProgress:
    """Receives the progress of a run. The methods of this base class do nothing; subclasses show the progress."""

    def listing(self, done: int, photos: int) -> None:
        """Report how many of the photos of a folder have been listed."""

    def begin(self, images: int) -> None:
        """Report the start of the work, and the number of images to convert."""

    def advance(self, done: int, failed: int) -> None:
        """Report how many images were converted and how many failed, both since the start of the work."""
