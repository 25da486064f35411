"""The columns of a plan, as SQL expressions of the columns of the view `manifest`.

The key of a row is a hash of everything that decides its image. Its version is part of the hash, so that a changed
definition never gives an old key to another image.
"""

from pipeline import storage
from pipeline.plan.manifest import CREDENTIALS, Manifest
from pipeline.plan.sql_types import split_types, struct_fields
from pipeline.recipes.prompts import PROMPT_COLUMNS
from pipeline.storage.database import Database, identifier, literal
from schemas.manifest import KNOWN, URIS
from schemas.prompt import template_columns
from schemas.recipe import Recipe

KEY_VERSION = 2
SEED_VERSION = 2
KEY_DIGITS = 32  # hexadecimal digits of a key, 128 bits: a billion keys collide with a probability of 1e-21
_REDACT, _REDACT_TEXT = "redact_address", "redact_text"


def define_functions(database: Database) -> None:
    """Define the functions that the expressions of this module call: they remove credentials from texts."""
    database.define_function(_REDACT, storage.redact)
    database.define_function(_REDACT_TEXT, storage.redact_text)


def photo_column(name: str) -> str:
    """Return the name of a column of a manifest in the view `photos`, quoted for SQL.

    Columns that the program does not know have a prefix, so that their names, such as `rowid`, cannot have a meaning in
    a query.
    """
    return identifier(name if name in KNOWN.names else f"extra {name}")


def plan_columns(manifest: Manifest, recipe: Recipe) -> dict[str, str]:
    """Return the SQL expression of each column of a plan but the unit, for photos `m` and their `variant`."""
    extra = manifest.extra_columns(recipe.detectors)
    columns = {
        "photo_id": "m.photo_id",
        "variant": "variant",
        "seed": seed("variant", "m.photo_id", recipe.seed),
        "bucket": "m.bucket",
        "recipe_digest": literal(recipe.digest),
        **addresses(manifest, recipe, public=True),
        "redacted": _is_redacted(manifest),
        **{name: f"m.{name}" for name in ("pose_keypoints", "boxes", "keypoints", *PROMPT_COLUMNS)},
        "manifest": _json_object({name: (f"m.{photo_column(name)}", manifest.types[name]) for name in extra}),
    }
    return columns | {"key": key(columns, manifest, recipe)}


def addresses(manifest: Manifest, recipe: Recipe, *, public: bool) -> dict[str, str]:
    """Return the address columns of a plan as SQL, without logins and queries if `public` is set."""

    def address(name: str) -> str:
        if name not in manifest.filled:
            return "NULL::VARCHAR"
        column = f"m.{identifier(name)}"
        if not (public and manifest.has_credentials):
            return column
        return f"CASE WHEN {has_credentials(column)} THEN {_REDACT}({column}) ELSE {column} END"

    names = [settings.name for settings in recipe.detectors if f"{settings.name}_uri" in manifest.filled]
    entries = ", ".join(f"{{'detector': {literal(name)}, 'uri': {address(f'{name}_uri')}}}" for name in names)
    kept = f"list_filter([{entries}], lambda entry: entry.uri <> '')"
    empty = "NULL::STRUCT(detector VARCHAR, uri VARCHAR)[]"
    return {
        "uri": address("uri"),
        "map_uris": f"CASE WHEN len({kept}) > 0 THEN {kept} END" if names else empty,
        "mask_uri": address("mask_uri"),
        "reference_uri": address("reference_uri") if recipe.ip_adapter else "NULL::VARCHAR",
    }


def _is_redacted(manifest: Manifest) -> str:
    """Return whether an address of a row has credentials or a query, as SQL."""
    if not manifest.has_credentials:
        return "false"
    columns = [f"m.{identifier(name)}" for name in URIS if name in manifest.filled]
    conditions = (f"{has_credentials(column)} AND {_REDACT}({column}) <> {column}" for column in columns)
    return " OR ".join(f"coalesce({condition}, false)" for condition in conditions)


def has_credentials(column: str) -> str:
    """Return the condition, as SQL, that an address may have a login, a query or a fragment."""
    return f"regexp_matches({column}, '{CREDENTIALS}')"


def seed(variant: str, photo_id: str, run_seed: int) -> str:
    """Return the seed of an image as SQL: 63 bits of a hash of the recipe's seed, the variant and the photo's id.

    The id comes last, because it is the only part that may contain a space.
    """
    digits = f"left(sha256('{SEED_VERSION} {run_seed} ' || {variant} || ' ' || {photo_id}), 16)"
    return f"(('0x' || {digits})::UBIGINT >> 1)::BIGINT"


def key(columns: dict[str, str], manifest: Manifest, recipe: Recipe) -> str:
    """Return the key of a row as SQL.

    The prompts of a row are rendered by the workers. The key therefore depends on the prompts of the manifest and on
    the columns that a prompt names. A prompt of the manifest may name any column.

    Args:
        columns: The other columns of the plan.
        manifest: The manifest.
        recipe: The recipe, whose digest covers its prompts and its seed.
    """
    named = [name for name in _named_columns(recipe) if name in manifest.extra_columns(recipe.detectors)]
    texts = _json_object({name: (f"m.{photo_column(name)}", manifest.types[name]) for name in named})
    if any(name in manifest.filled for name in PROMPT_COLUMNS):
        templates = "contains(concat(m.prompt, m.negative_prompt), '{')"
        texts = f"CASE WHEN {templates} THEN {columns['manifest']} ELSE {texts} END"
    names = ("photo_id", "variant", "recipe_digest", "uri", "map_uris", "mask_uri", "reference_uri")
    labels = ("pose_keypoints", "boxes", "keypoints", *PROMPT_COLUMNS)
    # A changed file has another etag. Without etags, its size or its time differ.
    modified = "CASE WHEN m.etag IS NULL THEN epoch_us(m.modified) END", "CASE WHEN m.etag IS NULL THEN m.bytes END"
    parts = [str(KEY_VERSION), *(columns[name] for name in (*names, *labels)), texts, "m.etag", *modified]
    # Values without names, because hashing takes most of the time of planning.
    return f"left(sha256(json_array({', '.join(parts)})), {KEY_DIGITS})"


def prompt_columns(manifest: Manifest, recipe: Recipe) -> list[str]:
    """Return the columns that a prompt may name: the id, the prompts, and the extra columns that have a value."""
    extra = (name for name in manifest.extra_columns(recipe.detectors) if name in manifest.filled)
    return ["photo_id", *PROMPT_COLUMNS, *extra]


def _named_columns(recipe: Recipe) -> list[str]:
    return [name for text in (recipe.prompt, recipe.negative_prompt) for name in template_columns(text)]


def _json_object(columns: dict[str, tuple[str, str]]) -> str:
    """Return columns as SQL that makes strict JSON of them: {name: (expression, SQL type)}."""
    content = ", ".join(f"{literal(name)}, {_json_value(*column)}" for name, column in sorted(columns.items()))
    return f"json_object({content})::VARCHAR"


def _json_value(column: str, kind: str, depth: int = 0) -> str:
    """Return a column as SQL without credentials, with a digest for bytes, and null for infinity and NaN.

    Numbers and truth values keep their type in JSON. Dates and all other types become text.
    """
    if kind.endswith("[]"):
        item = f"item{depth}"
        return f"list_transform({column}, lambda {item}: {_json_value(item, kind.removesuffix('[]'), depth + 1)})"
    if kind.startswith("STRUCT("):
        fields = ", ".join(
            f"{literal(name)}: {_json_value(f'{column}.{identifier(name)}', each, depth)}"
            for name, each in struct_fields(kind)
        )
        return f"CASE WHEN {column} IS NOT NULL THEN {{{fields}}} END"
    if kind.startswith("MAP("):
        entries = "STRUCT(key {}, value {})[]".format(*split_types(kind.removeprefix("MAP(").removesuffix(")")))
        return _json_value(f"map_entries({column})", entries, depth)
    return _JSON_VALUES.get(kind.partition("(")[0], "{0}").format(column)


_TOKENS = "hf_|gh[opsu]_|sk-|xox|AKIA|ASIA"  # the starts of `redaction._TOKEN`
_JSON_VALUES = {
    "VARCHAR": f"CASE WHEN regexp_matches({{0}}, '[/?&;=@]|{_TOKENS}') THEN {_REDACT_TEXT}({{0}}) ELSE {{0}} END",
    "FLOAT": "CASE WHEN isfinite({0}) THEN {0} END",
    "DOUBLE": "CASE WHEN isfinite({0}) THEN {0} END",
    "BLOB": "'sha256:' || sha256({0})",
    "JSON": f"{_REDACT_TEXT}({{0}}::VARCHAR)::JSON",
    "UNION": f"{_REDACT_TEXT}({{0}}::VARCHAR)",
}
