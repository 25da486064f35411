"""Options of a run that do not change how an image looks."""

from typing import Annotated, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field


class Options(BaseModel):
    """The options of one call of convert.

    Attributes:
        variants: How many images are made of each photo.
        limit: How many photos of the manifest are converted, from the first on. None converts all.
        address: The address of a Ray cluster. None starts Ray on this machine.
        max_failure_rate: The share of the last 1,000 rows that may fail, or of all rows of a smaller run. With more
            failures, the run stops. None allows 0.99, and does not stop a smaller run.
        keep_maps: Whether to write the control maps to the output.
        map_cache: The address of a folder in which runs share control maps.
        compile_cache: The address of a folder in which runs share compiled models.
        allow: What a manifest may name in addition to public addresses: web addresses of private hosts (`private`),
            another scheme, or local files (`file`), which a local manifest may always name.
        cpus: The largest number of CPU cores that the run uses. None uses all cores of the cluster.
        gpus: The largest number of GPU workers. None uses all GPUs of the cluster.
        memory: The largest memory of the worker processes in bytes. None is no limit.
        object_store_memory: The largest memory in bytes for rows between the steps. None leaves the limit to Ray.
        unit_size: The number of rows in a unit. None chooses 32 to 512, and fewer for a small plan.
        fetch_timeout: The longest time for reading one file of a photo, in seconds, with all attempts.
        connect_timeout: The longest time until a web server accepts a connection, in seconds.
        read_timeout: The longest time between two parts of a file from a web server, in seconds.
        max_photo_size: The largest size of a file of a photo in bytes, after it was decompressed.
        fetch_threads: The number of photos whose files one process reads at once.
        max_pixels: The largest number of pixels of a photo that are decoded. A JPEG is decoded at an eighth, a quarter
            or half of its size if that is enough.
        plan_memory: The largest memory in bytes that planning uses.
        recipe_changed: Whether to refuse or to reconvert an output of another recipe.
        removed_photos: Whether rows of photos that the manifest no longer has, and that have no image, stay planned.
        retry_failed: Whether to convert units with retryable failures again.
        verbose: Whether to show the logs of Ray.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    variants: Annotated[int, Field(ge=1, le=1000)] = 1
    limit: Annotated[int, Field(ge=1, le=2**62)] | None = None
    address: str | None = None
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    keep_maps: bool = False
    map_cache: str | None = None
    compile_cache: str | None = None
    allow: frozenset[str] = frozenset()
    cpus: Annotated[float, Field(ge=1, le=10**6)] | None = None
    gpus: Annotated[int, Field(ge=0, le=10**6)] | None = None
    memory: Annotated[ByteSize, Field(ge=2**20, le=2**60)] | None = None
    object_store_memory: Annotated[ByteSize, Field(ge=80 * 2**20, le=2**60)] | None = None  # Ray needs 75 MiB
    unit_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    fetch_timeout: Annotated[float, Field(gt=0, le=86400)] = 300
    connect_timeout: Annotated[float, Field(gt=0, le=86400)] = 10
    read_timeout: Annotated[float, Field(gt=0, le=86400)] = 30
    max_photo_size: Annotated[ByteSize, Field(ge=1, le=2**40)] = ByteSize(256 * 2**20)
    fetch_threads: Annotated[int, Field(ge=1, le=1024)] = 16
    max_pixels: Annotated[int, Field(ge=1, le=10**12)] = 100_000_000
    plan_memory: Annotated[ByteSize, Field(ge=100 * 10**6, le=2**60)] = ByteSize(2 * 10**9)
    recipe_changed: Literal["refuse", "reconvert"] = "refuse"
    removed_photos: Literal["keep", "drop"] = "keep"
    retry_failed: bool = False
    verbose: bool = False
