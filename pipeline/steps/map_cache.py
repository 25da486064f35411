"""Control maps that were drawn before, in any fsspec folder that variants, recipes and runs share.

A map is known by all that decides its pixels: the photo's content, the detector, its settings, library and weights, and
the geometry. It is a PNG under that name, written by one atomic put; what is broken there counts as missing.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
from PIL import Image

from pipeline import storage
from pipeline.detectors.base import detector_version, settings_json
from pipeline.images.arrays import Pixels
from pipeline.images.formats import DECODER_ERRORS
from schemas.detectors import Settings
from schemas.work import Row

MAP_VERSION = 2  # to be raised whenever a detector here draws anything otherwise: older maps are then left alone
THREADS = 16  # a map is a wait for the network, not work
GEOMETRY = ("transform", "padding", "width", "height")


def map_key(row: Row, settings: Settings, weights: str | None, place: str) -> str:
    """Return the name of the map that these settings give for a row behind the decoder, 64 hex digits.

    `weights` is the digest of the detector's network; `place` all else that decides pixels: the device, the background.
    """
    drawn_by = [MAP_VERSION, settings.name, settings_json(settings), detector_version(settings), weights, place]
    photo = [row["source_sha256"], *(row[name] for name in GEOMETRY), version("pillow")]
    return hashlib.sha256(json.dumps([drawn_by, photo], sort_keys=True).encode()).hexdigest()


class MapCache:
    """The maps below the folder `uri`; none at all without one."""

    def __init__(self, uri: str | None) -> None:
        self._uri = uri

    def read(self, keys: Iterable[str]) -> dict[str, Pixels]:
        """Return the maps among `keys` that are there, [H, W, 3] each."""
        if self._uri is None:
            return {}
        names = list(dict.fromkeys(keys))
        with ThreadPoolExecutor(THREADS) as readers:
            found = zip(names, readers.map(self._read, names), strict=True)
            return {key: pixels for key, pixels in found if pixels is not None}

    def write(self, maps: Mapping[str, Pixels]) -> None:
        """Put maps under their keys."""
        if self._uri is None:
            return
        with ThreadPoolExecutor(THREADS) as writers:
            list(writers.map(lambda key: storage.put(self._place(key), _png(maps[key])), maps))

    def _read(self, key: str) -> Pixels | None:
        content = storage.read_if_exists(self._place(key))
        if content is None:
            return None
        try:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                return np.asarray(image.convert("RGB"))
        except DECODER_ERRORS:
            return None

    def _place(self, key: str) -> str:
        return storage.join(self._uri or "", key[:2], f"{key}.png")


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)  # a third of the time of level 6, little larger
    return buffer.getvalue()
