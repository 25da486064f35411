"""Errors of manifests, which stop a run before its work."""

from pipeline.errors.base import RunError


class ManifestError(RunError):
    """The manifest is invalid."""

    code = "manifest.invalid"
    hint = "Write a Parquet file with the columns photo_id and uri."


class ManifestNotFoundError(ManifestError):
    """No manifest exists at this address."""

    code = "manifest.not_found"
    hint = "Name a Parquet, CSV or JSON lines file, a glob, a folder of Parquet files, or a folder of photos."


class ManifestFormatError(ManifestError):
    """A file of the manifest is damaged, or not of the format of its name."""

    code = "manifest.not_readable"
    hint = "Name Parquet files (.parquet), CSV files (.csv, .tsv) or JSON lines (.jsonl, .ndjson)."


class ManifestSchemaError(ManifestError):
    """A column has different types in the files of the manifest."""

    code = "manifest.mixed_schemas"
    hint = "Write the column with one type in all files."


class NoPhotosError(ManifestError):
    """The manifest or the folder has no photos."""

    code = "manifest.no_photos"
    hint = "Name a manifest with rows, or a folder with photos."


class MissingColumnError(ManifestError):
    """The manifest has no column photo_id or uri."""

    code = "manifest.missing_column"


class DuplicateColumnError(ManifestError):
    """The manifest has two columns of one name."""

    code = "manifest.duplicate_column"
    hint = "Name each column once."


class ColumnCaseError(ManifestError):
    """A column of the manifest, such as Prompt, has the name of a known column in another case."""

    code = "manifest.column_case"
    hint = "Write the name in lower case, or choose another one for a column of another meaning."


class ColumnTypeError(ManifestError):
    """A column of the manifest has the wrong type."""

    code = "manifest.wrong_type"
    hint = "Cast the column when you write the manifest."


class MissingIdError(ManifestError):
    """A row of the manifest has no photo_id."""

    code = "manifest.missing_id"
    hint = "Give each photo a unique photo_id."


class SecretIdError(ManifestError):
    """A photo_id is an address with a login or a query, and ids are not secret: file names and records contain them."""

    code = "manifest.secret_id"
    hint = "Give each photo an id without credentials."


class DuplicateIdError(ManifestError):
    """Several rows of the manifest have the same photo_id."""

    code = "manifest.duplicate_id"
    hint = "Give each photo a unique photo_id."


class ManifestPromptError(ManifestError):
    """A prompt of the recipe names a column that is missing in the manifest, or has no values."""

    code = "manifest.prompt_column"
    hint = "Write {column} for a column of the manifest, or {red|blue} for a choice."
