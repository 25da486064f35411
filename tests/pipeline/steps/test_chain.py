"""The steps of a run receive its limits."""

from pipeline.steps.chain import ChainSettings, photo_steps
from pipeline.storage.limits import Access
from schemas.recipe import Recipe


def test_steps_that_decode_maps_and_references_have_the_limit_of_the_run(recipe: Recipe) -> None:
    _, maps, convert, _ = photo_steps(ChainSettings(recipe, Access(frozenset(), max_pixels=1234)))
    assert [each.arguments and each.arguments["max_pixels"] for each in (maps, convert)] == [1234, 1234]
