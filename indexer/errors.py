"""Every way in which Descry refuses, drawn before it is defined.

    DescryError
      LibraryError              the library itself
        LibraryNotFound           there is none at that place
        LibraryLocked             another process is indexing into it
        LibraryTooNew             a newer Descry wrote it
        LibraryDamaged            its files contradict each other or cannot be read
        LibraryFull               the disk has no room for the next batch
      EncoderError              the model that turns things into vectors
        UnknownEncoder            no encoder goes by that name
        EncoderUnavailable        known, but its weights or device cannot be had here
        EncoderMismatch           the library holds vectors of another encoder
      PathError                 a folder or file that was asked for is not there or is of no use
      SourceError               one file that cannot be indexed; the run goes on without it
        TookTooLong               reading it was given up; the next run tries it again
      ClusterError              the cluster that was to embed cannot be reached, or gave up
      QueryError                a question that cannot be answered as it was put
      OutputError               an answer that cannot be written where it should go

Damaged vectors are left out of answers, and are a `DamageWarning`, of Python's `warnings`.

A message names the thing and the remedy, in one line. Library code raises; only the edges
(`search.commands`, later `search.web`) print and choose exit codes.
"""

import errno
from pathlib import Path


class DescryError(Exception):
    """Anything that Descry refuses to do, said in one line that names the thing and the remedy."""


class LibraryError(DescryError):
    """The library cannot be used as asked."""


class LibraryNotFound(LibraryError):
    """There is no library at that place."""


class LibraryLocked(LibraryError):
    """Another process is writing to the library."""


class LibraryTooNew(LibraryError):
    """The library was written by a newer version of Descry."""


class LibraryDamaged(LibraryError):
    """The library's files cannot be read or contradict each other."""


class DamageWarning(UserWarning):
    """Some of the library's vectors are damaged: answers lack them."""


class LibraryFull(LibraryError):
    """The disk that holds the library has no room left; what was committed before is safe."""

    def __init__(self, library: Path, reason: object) -> None:
        super().__init__(
            f"The disk of the library {library} is full or failing ({reason}); everything committed before is safe: "
            "make room and run the same command again."
        )


def cannot_write(library: Path, what: str, error: OSError) -> LibraryError:
    """What to raise where a file of a library could not be written: a full disk is one thing, no permission another."""
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LibraryError(f"{library / what} cannot be written ({reason}): see who may write there.")
    return LibraryFull(library, f"{what}: {reason}")


class EncoderError(DescryError):
    """An encoder cannot be used as asked."""


class UnknownEncoder(EncoderError):
    """No encoder goes by that name."""


class EncoderUnavailable(EncoderError):
    """The encoder exists, but its weights, its device or a package it needs cannot be had here."""


class EncoderMismatch(EncoderError):
    """The library's vectors come from another encoder than the one at hand."""


class PathError(DescryError):
    """A folder or file that was asked for by name is not there, or is of no kind that can be indexed."""


class SourceError(DescryError):
    """One file that cannot be indexed; its message is the reason, without the path."""


class TookTooLong(SourceError):
    """Reading a file was given up after some time; it is tried again by the next run."""


class ClusterError(DescryError):
    """A cluster cannot be used as asked; what it has done is kept."""


class QueryError(DescryError):
    """A question that cannot be answered as it was put."""


class OutputError(DescryError):
    """An answer cannot be written to standard output: it is closed, or the disk behind it is full."""


def reason_of(error: OSError) -> str:
    """What the system says of a file that it refuses, for a sentence: "permission denied"."""
    return (error.strerror or str(error)).lower()


def first_line(error: BaseException) -> str:
    """What an error of another's code says, in 200 characters at most; its kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
