"""Errors of one photo: each becomes a failure in provenance, and the run continues."""

from pipeline.errors.base import PhotoError


class FetchError(PhotoError):
    """A file of a photo cannot be read, or the manifest does not name it."""

    code = "fetch"


class FetchFailedError(FetchError):
    """The storage or the network reported an error."""

    code = "fetch.failed"
    hint = "Run the same command with --retry-failed when the storage is available."


class MissingUriError(FetchError):
    """The manifest has no uri for the photo."""

    code = "fetch.missing_uri"
    hint = "Write a uri for every photo in the manifest."


class FileMissingError(FetchError):
    """No file exists at the uri."""

    code = "fetch.not_found"
    hint = "Correct the uri in the manifest, or restore the file."


class SupersededError(FetchError):
    """A later plan replaced the row, or the manifest no longer has its photo."""

    code = "fetch.superseded"
    hint = "Nothing needs to be done. The row is converted if it becomes current again."


class CredentialsMissingError(FetchError):
    """An earlier plan has the row, but the manifest of this run does not have its address with the credentials."""

    code = "fetch.credentials_missing"
    hint = "Run the command with --retry-failed and a manifest that has the photo."


class EmptyFileError(FetchError):
    """The file has no content."""

    code = "fetch.empty_file"
    hint = "Restore the file."


class InvalidUriError(FetchError):
    """The uri is not a valid address."""

    code = "fetch.invalid_uri"
    hint = "Write a local path, or an address such as https://, s3://, gs:// or az://."


class SchemeNotAllowedError(FetchError):
    """The run does not allow addresses of this scheme in a manifest."""

    code = "fetch.scheme_not_allowed"
    hint = "Allow it with --allow SCHEME if you trust the manifest."


class PrivateAddressError(FetchError):
    """The host of the uri has a private network address, which the run does not allow."""

    code = "fetch.private_address"
    hint = "Allow it with --allow private if you trust the manifest."


class NotRegularFileError(FetchError):
    """The uri names a folder, a device, a pipe or a socket instead of a file."""

    code = "fetch.not_a_file"
    hint = "Name a regular file in the manifest."


class FileTooLargeError(FetchError):
    """The file is larger than the limit of the run, after it was decompressed."""

    code = "fetch.too_large"
    hint = "Scale the photo down, or raise --max-photo-size."


class FetchTimeoutError(FetchError):
    """The file was not received within the time limits of the run."""

    code = "fetch.timeout"
    hint = "Run the same command with --retry-failed, or raise --fetch-timeout."


class ImageError(PhotoError):
    """The bytes of a photo cannot be decoded."""

    code = "image"


class UnsupportedFormatError(ImageError):
    """The file is not an image, or is an image of an unsupported format."""

    code = "image.unsupported_format"
    hint = "Convert the file to JPEG, PNG, WebP, AVIF, HEIF, TIFF, BMP, GIF or PPM."


class TruncatedImageError(ImageError):
    """The image file is truncated: its last pixels are missing."""

    code = "image.truncated"
    hint = "Restore the complete file."


class InvalidImageError(ImageError):
    """The image is corrupt: its decoder reported an error."""

    code = "image.invalid"
    hint = "Restore the file, or save it again with an image editor."


class TooManyPixelsError(ImageError):
    """More pixels of the image would be decoded than the run allows."""

    code = "image.too_many_pixels"
    hint = "Scale the photo down, or raise --max-pixels."


class LabelError(PhotoError):
    """A label of the manifest is invalid."""

    code = "label"


class InvalidBoxError(LabelError):
    """A box has a missing or invalid x, y, width or height."""

    code = "label.invalid_box"
    hint = "Write finite numbers in pixels, with a positive width and height."


class InvalidKeypointsError(LabelError):
    """A list of keypoints has invalid numbers, or not three numbers for each keypoint."""

    code = "label.invalid_keypoints"
    hint = "Write x, y and visibility of each keypoint, as finite numbers."


class InvalidMaskError(LabelError):
    """The mask cannot be decoded, or its mode or values cannot be stored as PNG."""

    code = "label.invalid_mask"
    hint = "Save the mask as a PNG with values of at most 65535."


class MaskShapeError(LabelError):
    """The mask does not have the aspect ratio of its photo."""

    code = "label.mask_shape"
    hint = "Create the mask for the whole photo, in its upright orientation."


class ControlMapError(PhotoError):
    """A control map is invalid, or the mask or the region that the recipe needs is missing or empty."""

    code = "control_map"


class DetectorFailedError(ControlMapError):
    """A detector raised an error for this photo."""

    code = "control_map.detector_failed"
    hint = "Provide the map in the manifest, or use another detector."


class InvalidPoseError(ControlMapError):
    """The pose_keypoints of the manifest have an unknown layout or invalid numbers."""

    code = "control_map.invalid_pose"
    hint = "Write x, y and visibility of 17, 18, 33 or 133 keypoints for each person."


class InvalidMapError(ControlMapError):
    """A control map of the manifest cannot be decoded, or has values that are not finite."""

    code = "control_map.invalid_map"
    hint = "Save the map again as a PNG."


class MapShapeError(ControlMapError):
    """A control map of the manifest does not have the aspect ratio of its photo."""

    code = "control_map.shape"
    hint = "Create the map for the whole photo, in its upright orientation."


class MissingMaskError(ControlMapError):
    """The recipe needs a mask, and the manifest has no mask_uri for this photo."""

    code = "control_map.missing_mask"
    hint = "Write a mask_uri for the photo in the manifest, or in mode inpaint, set region.of to subject or background."


class RegionNotFoundError(ControlMapError):
    """The inpaint region of this photo is empty."""

    code = "control_map.region_not_found"
    hint = "Check the mask, or the classes of the recipe's region."


class PromptError(PhotoError):
    """The prompt of a photo is invalid."""

    code = "prompt"


class PromptTemplateError(PromptError):
    """A prompt has unmatched braces, an invalid choice or an unknown column."""

    code = "prompt.invalid_template"
    hint = "Write {column} for a column, or {red|blue} for a choice."


class PromptWeightError(PromptError):
    """A prompt has invalid weights, or Compel syntax that is not supported, such as .swap()."""

    code = "prompt.invalid_weights"
    hint = "Write weights as (word)1.3, (word:1.3) or word++."


class GenerationError(PhotoError):
    """No image was generated, or it was dropped."""

    code = "generate"


class UnusableImageError(GenerationError):
    """The image has values that are not finite, or a single colour, even in float32."""

    code = "generate.unusable_image"
    hint = "Try another seed, or lower the guidance or the scales of the controls."


class UnsafeImageError(GenerationError):
    """The safety checker flagged the image, and the recipe drops such images."""

    code = "generate.unsafe_image"
    hint = "Keep such images with --set safety.policy=flag."


class MissingReferenceError(GenerationError):
    """The IP-Adapter has no reference image for this photo."""

    code = "generate.missing_reference"
    hint = "Write a reference_uri for the photo in the manifest, or set ip_adapter.reference in the recipe."


class WorkerError(PhotoError):
    """The process that worked on the photo failed in a way that no other error describes."""

    code = "worker"


class WorkerDiedError(WorkerError):
    """The process ended each time that it worked on this photo: it crashed, or the system ended it to free memory."""

    code = "worker.died"
    hint = "Save the photo again with an image editor, or scale it down. The log of Ray has the details (--verbose)."


class PhotoMemoryError(WorkerError):
    """The photo needs more memory than the process could allocate."""

    code = "worker.out_of_memory"
    hint = "Scale the photo down, or run on a machine with more memory."


class UnexpectedError(WorkerError):
    """A library raised an error that photo2anime does not know."""

    code = "worker.unexpected_error"
    hint = "Look at the photo. Report the error if the photo is valid."
