"""Tar archives from anywhere: read member by member, at a bounded cost, with one kind of error for all damage."""

import tarfile
from typing import NoReturn, Self

__all__ = ["Tar"]

_LONGEST_HEADER = 1 << 16  # bytes of a long name or of a member's attributes; the longest path has 4,096
_LARGEST_MEMBER = 1 << 36  # bytes
_TEXTS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Header(tarfile.TarInfo):
    """Refuses what tarfile would read into memory whole, whatever size it says it has."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """One header of 512 bytes; tarfile.ReadError if what belongs to it is too long."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _TEXTS and not 0 <= header.size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            header._proc_gnusparse_10()
        return header

    def _proc_gnusparse_10(self, *_: object) -> NoReturn:
        """Also called by tarfile, for the form of which it would read a list without end."""
        raise tarfile.ReadError("a sparse file, of which not all bytes are here")


class Tar(tarfile.TarFile):
    """A tar archive to read. Open it by `Tar.open`, with mode "r:" or "r|*", and call `next` or iterate.

    tarfile.TarError, one line, for all that is wrong: sizes below 0, over 64 GiB or no numbers, headers over 64 KiB or
    in each other without end, and sparse files, whose bytes are not where the others' are.
    """

    tarinfo = _Header

    def next(self) -> tarfile.TarInfo | None:
        """The next member; None at the end."""
        try:
            member = super().next()
        except RecursionError:
            raise tarfile.ReadError("headers inside each other") from None
        except (ValueError, OverflowError) as error:
            raise tarfile.ReadError(str(error)[:120]) from None
        if member is not None and not 0 <= member.size <= _LARGEST_MEMBER:
            raise tarfile.ReadError(f"a member of {member.size:,} bytes")
        if member is not None and member.issparse():
            member._proc_gnusparse_10()  # type: ignore[attr-defined]
        if sum(len(key) + len(value) for key, value in self.pax_headers.items()) > _LONGEST_HEADER:
            raise tarfile.ReadError(f"over {_LONGEST_HEADER:,} bytes of headers for all members")
        return member
