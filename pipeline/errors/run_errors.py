"""Errors of a run: it does not start (exit code 2), or it ends early (exit code 1)."""

from typing import ClassVar

from pipeline.errors.base import RunError


class OptionError(RunError):
    """An option of the command line is invalid."""

    code = "option.invalid"
    hint = "See the options with --help."


class MemoryLimitError(OptionError):
    """A query needs more memory than the limit, and cannot continue in temporary files."""

    code = "option.memory_limit"
    hint = "Divide the dataset into parts, with an output for each part."


class QueryError(OptionError):
    """A query of the provenance is invalid."""

    code = "option.query"
    hint = "Write one SELECT statement of DuckDB on the views provenance, plan and units; DESCRIBE lists their columns."


class RecipeError(RunError):
    """The recipe, or one of its settings, is invalid."""

    code = "recipe.invalid"
    hint = "See the settings with photo2anime recipes show NAME."


class RecipeNotFoundError(RecipeError):
    """No shipped recipe has this name, and it is not the address of an existing YAML file."""

    code = "recipe.not_found"
    hint = "List the recipes with photo2anime recipes."


class RecipeSyntaxError(RecipeError):
    """The recipe file is not valid YAML."""

    code = "recipe.syntax"
    hint = "Correct the file."


class RecipeSettingError(RecipeError):
    """A --set option has an invalid syntax, or its path does not exist in the recipe."""

    code = "recipe.setting"
    hint = "Write key=value, such as --set steps=8."


class RecipeExistsError(RecipeError):
    """A file exists where the recipe would be written."""

    code = "recipe.exists"
    hint = "Choose another --output."


class RecipePromptError(RecipeError):
    """A prompt of the recipe is invalid."""

    code = "recipe.prompt"
    hint = "Write weights as (word)1.3, (word:1.3) or word++, and choices as {red|blue}."


class SchedulerError(RecipeError):
    """The scheduler does not support a setting or the number of steps."""

    code = "recipe.scheduler"
    hint = "Change scheduler.settings or steps."


class BaseMismatchError(RecipeError):
    """The base model does not support the mode or the clip_skip of the recipe."""

    code = "recipe.base_mismatch"
    hint = "Choose another base model, or change the setting."


class MissingInputError(RecipeError):
    """The recipe needs masks or reference images, and the manifest has none."""

    code = "recipe.missing_input"
    hint = "Add mask_uri or reference_uri to the manifest."


class ModelError(RunError):
    """A model is invalid."""

    code = "model.invalid"
    hint = "Download it again, or name another model."


class ModelNotFoundError(ModelError):
    """Files of a model are missing, and the hub cannot be reached or does not have them."""

    code = "model.not_found"
    hint = "Name a folder that has the files, or run the command once with access to the hub."


class MissingWeightsError(ModelError):
    """The files of a model lack some of its weights."""

    code = "model.missing_weights"


class ModelMismatchError(ModelError):
    """Two models do not fit together, such as a ControlNet and a base model of another family."""

    code = "model.mismatch"
    hint = "Choose models of one family."


class ModelDigestError(ModelError):
    """The files of a model differ from those that the recipe is locked to."""

    code = "model.wrong_digest"
    hint = "Restore the files, or lock the recipe again with photo2anime recipes lock."


class MissingPackageError(ModelError):
    """A package or a system library that a detector needs is not installed."""

    code = "model.missing_package"
    hint = "Install the package."


class OutputError(RunError):
    """The output folder cannot be used."""

    code = "output.invalid"
    hint = "Choose another output."


class NotAnOutputError(OutputError):
    """The folder was not written by photo2anime."""

    code = "output.not_an_output"


class SameFolderError(OutputError):
    """The output is the folder of the photos, so that the next run would list the images as photos."""

    code = "output.same_folder"
    hint = "Choose another output, such as a subfolder."


class RecipeChangedError(OutputError):
    """The output was written with another recipe."""

    code = "output.recipe_changed"
    hint = "Choose another output, or convert every photo again with --recipe-changed=reconvert."


class DamagedOutputError(OutputError):
    """A plan, a record or the run file of the output cannot be read."""

    code = "output.damaged"
    hint = "Restore the file. If it is the record of a planned unit, photo2anime verify --repair can delete it instead."


class PlanConflictError(OutputError):
    """Several runs planned rows of the output at the same time."""

    code = "output.plan_conflict"
    hint = "Run the same command again."


class OutputInUseError(OutputError):
    """Another process writes to the output."""

    code = "output.in_use"
    hint = "Wait until it ends, or choose another output."


class DiskFullError(OutputError):
    """The disk has too little free space."""

    code = "output.disk_full"
    hint = "Free some space, or choose another output. The same command continues the run."


class StorageError(RunError):
    """A storage request failed."""

    code = "storage.failed"
    hint = "Check the address and the network."


class StorageNotFoundError(StorageError):
    """No file exists at the address."""

    code = "storage.not_found"
    hint = "Check the address."


class StorageAccessError(StorageError):
    """The account has no credentials, or no permission, for the address."""

    code = "storage.access"
    hint = "Set the credentials in the environment, as for the command line of the cloud provider."


class UnsupportedSchemeError(StorageError):
    """The address has an unknown scheme, or one whose package is not installed."""

    code = "storage.unsupported_scheme"
    hint = "Write a local path, s3://, gs:// or az://."


class ClusterError(RunError):
    """The Ray cluster cannot be reached, or is too small."""

    code = "cluster.unavailable"
    hint = "Check --address, or omit it to run on this machine."


class RunStoppedError(RunError):
    """The run ended early, after its checks had passed. The records that it wrote are kept."""

    code = "run.stopped"
    hint = "Run the same command again to continue."
    exit_code: ClassVar[int] = 1

    @classmethod
    def of(cls, error: RunError) -> "RunStoppedError":
        """Return the error of a run that ended after its start, with the message and the code of its cause."""
        stopped = cls(str(error), "")
        stopped.code = error.code
        return stopped


class InterruptedRunError(RunStoppedError):
    """The run received SIGINT, SIGTERM or SIGHUP."""

    code = "run.interrupted"


class LeaseLostError(RunStoppedError):
    """The lease was deleted, or another run took over while this one was suspended or could not reach the storage."""

    code = "run.lease_lost"
    hint = "When no other run writes to the output, run the same command again to continue."


class TooManyFailuresError(RunStoppedError):
    """More rows failed than --max-failure-rate allows."""

    code = "run.too_many_failures"
    hint = "See the failures in the records, and run the same command again to continue."


class WorkersFailedError(RunStoppedError):
    """The models of a step cannot be loaded: its processes end, or a library raises an unknown error."""

    code = "run.workers_failed"
    hint = "Look at the log with --verbose, and at the memory of the machines. Run the same command again to continue."


class RayEndedError(RunStoppedError):
    """Ray on this machine ended: it was killed, had too little memory, or could not open enough files."""

    code = "run.ray_ended"
    hint = "Look at the memory of the machine and at ulimit -n, and run the same command again to continue."


class OutOfMemoryError(RunStoppedError):
    """One image does not fit in the memory of the device."""

    code = "run.out_of_memory"
    hint = "Try --set memory=low."


class IncompleteUnitError(RunStoppedError):
    """A unit of work lost rows between two steps, which is a bug in photo2anime."""

    code = "run.incomplete_unit"
    hint = "Report this bug."
