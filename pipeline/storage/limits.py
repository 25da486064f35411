"""What a manifest may name, and the limits for reading its files, because it may come from an untrusted source."""

from dataclasses import dataclass, field

MIB = 2**20


@dataclass(frozen=True)
class ReadLimits:
    """The limits for reading one file.

    Attributes:
        connect_seconds: The longest time until a web server accepts a connection.
        read_seconds: The longest time between two parts of the answer of a web server.
        total_seconds: The longest time for a file at any address, with all attempts.
        max_bytes: The largest size of a file, after it was decompressed.
        private_hosts: Whether web addresses may lead to hosts that are not public.
    """

    connect_seconds: float = 10
    read_seconds: float = 30
    total_seconds: float = 300
    max_bytes: int = 256 * MIB
    private_hosts: bool = False


@dataclass(frozen=True)
class Access:
    """What a manifest may name, and how its files are read.

    Attributes:
        allowed: The allowed schemes, `file` for local files.
        limits: The limits for each file.
        threads: The number of photos whose files a process reads at once. A request mostly waits for the network.
        max_pixels: The largest number of pixels of a photo that are decoded.
    """

    allowed: frozenset[str]
    limits: ReadLimits = field(default_factory=ReadLimits)
    threads: int = 16
    max_pixels: int = 100_000_000
