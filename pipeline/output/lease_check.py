"""Check the lease of an output in another process of the run than the one that renews it."""

from pipeline.output.lease import Lease
from pipeline.output.lease_holder import lost_error


def check_holder(output: str, holder: str) -> None:
    """Check that a run still has the lease of its output, in another process than the one that renews it.

    Args:
        output: The address of the output.
        holder: The identifier of the holder.

    Raises:
        LeaseLostError: Another process has the lease, or it was deleted.
    """
    lease = Lease(output, "")
    # The file may be replaced between its listing and its reading.
    current = lease.current() or lease.current() or lease.current()
    if current is None or current.holder != holder:
        raise lost_error(output, current)
