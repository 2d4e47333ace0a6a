"""DeviseError and its children: each message is one line that says what went wrong and what to do."""

import re

__all__ = [
    "PHOTOS_EXTRA",
    "VIDEO_EXTRA",
    "BundleError",
    "DeviseError",
    "LabelError",
    "PhotoIndexError",
    "PictureError",
    "RecordError",
    "TaxonomyError",
    "TextError",
    "TrainingError",
    "TrainingStoppedError",
    "UsageError",
    "VectorsError",
    "counted",
    "counted_unread",
    "shortened",
    "with_addresses",
]

PHOTOS_EXTRA = "the extra photos: pip install 'devise-zsl[photos]'"
"""What is missing where XMP, HEIC or raw files cannot be read."""

VIDEO_EXTRA = "the extra video: pip install 'devise-zsl[video]'"
"""What is missing where videos cannot be read."""

_ADDRESS = re.compile(r"(?<![\w/.-])(https?|ftps?|s3|gs|gcs|az|hf|hdfs|file):/(?=[^/\s])", re.IGNORECASE)


def counted(number: int, noun: str) -> str:
    """Format a number with its noun, for a message.

    >>> counted(1, "photo"), counted(2000, "photo"), counted(2, "trained class"), counted(0, "query")
    ('1 photo', '2,000 photos', '2 trained classes', '0 queries')
    """
    if number == 1:
        return f"1 {noun}"
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else f"{number:,} {noun}{ending}"


def counted_unread(photos: int, folders: int) -> str:
    """Format the numbers of photos and folders that could not be read, at least one of them above 0.

    >>> counted_unread(3, 1), counted_unread(0, 2), counted_unread(1, 0)
    ('3 photos and 1 folder', '2 folders', '1 photo')
    """
    both = {"photo": photos, "folder": folders}
    return " and ".join(counted(number, noun) for noun, number in both.items() if number)


def shortened(text: str, longest: int = 1000) -> str:
    """Shorten a text to so many letters by leaving out its middle.

    >>> shortened("a label of very many letters", 10)
    'a labe ... (18 letters) ... ters'
    """
    cut, beginning = len(text) - longest, longest * 6 // 10
    return f"{text[:beginning]} ... ({cut:,} letters) ... {text[beginning + cut :]}" if cut > 0 else text


def with_addresses(text: str) -> str:
    """The text; a web address in it, of which a `Path` keeps one slash, has both again.

    >>> with_addresses("no such file: https:/example.org/a.jpg"), with_addresses("file:/tmp/a.jpg")
    ('no such file: https://example.org/a.jpg', 'file:///tmp/a.jpg')
    """
    return _ADDRESS.sub(lambda found: f"{found[1]}:///" if found[1].lower() == "file" else f"{found[1]}://", text)


class DeviseError(Exception):
    """Base of all errors that a user can fix. The message is one line; the command exits with 1.

    Of a message that repeats a very long text, such as a label, the middle is left out. hint: what helps at the command
    line alone, such as a command; the command line adds it to the message, and the service does not.
    """

    exit_code = 1

    def __init__(self, message: object = "", *, hint: str = "") -> None:
        super().__init__(shortened(with_addresses(str(message))))
        self.hint = hint


class UsageError(DeviseError):
    """The command or call has invalid arguments; the command exits with 2."""

    exit_code = 2


class PhotoIndexError(DeviseError):
    """An index of photos is damaged, in use, from another model or in another format version."""


class PictureError(DeviseError):
    """A picture cannot be read; the message gives the reason, not the file (the caller knows it)."""


class RecordError(DeviseError):
    """The record of an evaluation is damaged, in another format, or does not match another one."""


class BundleError(DeviseError):
    """A model bundle is missing, truncated, changed or in another format version."""


class TaxonomyError(DeviseError):
    """A synset or name is not in the taxonomy, or its file is damaged."""


class LabelError(DeviseError):
    """A label has no vector, is a duplicate, or is not in the requested label set."""


class TextError(DeviseError):
    """A corpus file cannot be read."""


class TrainingError(DeviseError):
    """Training cannot continue: the loss is NaN, too many samples are broken, a checkpoint belongs to another run."""


class TrainingStoppedError(DeviseError):
    """Training was stopped by SIGTERM and its state is saved; the command exits with 143."""

    exit_code = 143


class VectorsError(DeviseError):
    """A file of word vectors is damaged or not in the format that its name says."""
