"""Callbacks that report the progress of a run."""


class RunProgress:
    """Told how a run goes; this one says nothing of it."""

    def listing(self, done: int, photos: int) -> None:
        """Note how far the listing of a folder of pictures is."""

    def notice(self, text: str) -> None:
        """Note what the reader should know of this run."""

    def begin(self, pictures: int) -> None:
        """Note that the work begins, and how much there is."""

    def advance(self, done: int, failed: int) -> None:
        """Note how many pictures are done in all, and how many rows failed."""
