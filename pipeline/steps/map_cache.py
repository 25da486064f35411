"""A cache of control maps in any fsspec folder, which variants, recipes and runs share.

The key of a map is a hash of everything that decides its pixels: the content of the photo, the geometry, the detector
with its settings, library and weights, its device, the background colour and the version of Pillow. A map is a PNG file
named after its key. Writes are atomic. A file that cannot be decoded counts as missing.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
from PIL import Image

from pipeline import storage
from pipeline.detectors.base import detector_version, settings_json
from pipeline.images.arrays import Pixels
from pipeline.images.formats import DECODER_ERRORS
from schemas.detectors import Settings
from schemas.work import Mapped

MAP_VERSION = 2  # increase it when a detector of this project changes its maps, so that older maps are not used
THREADS = 16  # reading a map waits for the network


def map_key(row: Mapped, settings: Settings, weights: str | None, context: str) -> str:
    """Return the key of the control map that a detector detects in the photo of a row, 64 hex digits.

    Args:
        row: A row with a canvas.
        settings: The detector's settings.
        weights: The SHA-256 of the weights. None for a detector without weights.
        context: Everything else that affects the pixels: the device and the background.
    """
    canvas = row.canvas
    detector = [MAP_VERSION, settings.name, settings_json(settings), detector_version(settings), weights, context]
    geometry = [asdict(canvas.transform), asdict(canvas.padding), canvas.width, canvas.height]
    photo = [row.source.sha256, *geometry, version("pillow")]
    return hashlib.sha256(json.dumps([detector, photo], sort_keys=True).encode()).hexdigest()


class MapCache:
    """The control maps in a folder.

    Args:
        uri: The address of the folder. None disables the cache: nothing is read or written.
    """

    def __init__(self, uri: str | None) -> None:
        self._uri = uri

    def read(self, keys: Iterable[str]) -> dict[str, Pixels]:
        """Return the cached maps by key, [H, W, 3] each. Keys without a map are left out."""
        if self._uri is None:
            return {}
        names = list(dict.fromkeys(keys))
        with ThreadPoolExecutor(THREADS) as readers:
            maps = zip(names, readers.map(self._read, names), strict=True)
            return {key: pixels for key, pixels in maps if pixels is not None}

    def write(self, maps: Mapping[str, Pixels]) -> None:
        """Write maps under their keys."""
        if self._uri is None:
            return
        with ThreadPoolExecutor(THREADS) as writers:
            list(writers.map(lambda key: storage.put(self._file(key), _png(maps[key])), maps))

    def _read(self, key: str) -> Pixels | None:
        content = storage.read_if_exists(self._file(key))
        if content is None:
            return None
        try:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                return np.asarray(image.convert("RGB"))
        except DECODER_ERRORS:
            return None

    def _file(self, key: str) -> str:
        return storage.join(self._uri or "", key[:2], f"{key}.png")


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)  # a third of the time of level 6, and hardly larger
    return buffer.getvalue()
