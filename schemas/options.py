"""How a run goes about its work; nothing here changes how a picture looks."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """The options of one call of convert."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variants: Annotated[int, Field(ge=1, le=1000)] = 1
    limit: Annotated[int, Field(ge=1)] | None = None  # the first photos of the manifest alone
    address: str | None = None  # of a Ray cluster; None runs on this machine
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 1.0  # of this run's pictures; beyond it the run stops
    keep_maps: bool = False
    map_cache: str | None = None  # a folder of control maps that runs share: any fsspec address
    compile_cache: str | None = None  # a folder of compiled models that runs share: any fsspec address
    calibrate: bool | None = None  # measure a few photos first, to size the pools; None: if the work is worth it
    allow: frozenset[str] = frozenset()  # photos from: file, private (addresses), or another scheme
    gpus: Annotated[int, Field(ge=0)] | None = None  # converters; None: as many as the cluster has
    unit_size: Annotated[int, Field(ge=1, le=1024)] | None = None  # None: up to 32, less for a small plan
    recipe_changed: Literal["refuse", "reconvert"] = "refuse"
    retry_failed: bool = False  # do units again that hold failures which another try may mend
    verbose: bool = False
