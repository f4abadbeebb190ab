"""Which bytes are text, in which encoding: found from the bytes, streamed where it can be."""

from __future__ import annotations

import codecs
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from metier.data.raw import enumerate_some
from metier.errors import DataError

_CHUNK = 1 << 22
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip or Excel file: unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file: save it as CSV"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip file: unpack it first"),
    (b"BZh", "a bzip2 file: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file: unpack it first"),
    (b"\x89PNG", "a PNG image: give the folder of images instead"),
    (b"\xff\xd8\xff", "a JPEG image: give the folder of images instead"),
    (b"GIF8", "a GIF image: give the folder of images instead"),
    (b"%PDF", "a PDF: copy its text into a CSV file"),
    (b"PAR1", "a Parquet file: rename it to end in .parquet"),
    (b"ARROW1", "an Arrow file: rename it to end in .arrow"),
    (b"SQLite", "an SQLite database: export the table as CSV"),
    (b"\x93NUMPY", "a numpy file: save its rows as CSV"),
)


@dataclass(frozen=True)
class TextFile:
    """A text file whose encoding is known. `content` is None when the file itself is UTF-8."""

    path: Path
    fingerprint: str
    content: bytes | None = None
    warnings: tuple[str, ...] = ()

    def source(self) -> Path | IO[bytes]:
        """Return what polars reads as UTF-8."""
        return self.path if self.content is None else io.BytesIO(self.content)

    def bytes(self) -> IO[bytes]:
        """Open the bytes, UTF-8."""
        return self.path.open("rb") if self.content is None else io.BytesIO(self.content)

    def lines(self) -> IO[str]:
        """Open the text, newlines untouched."""
        if self.content is None:
            return self.path.open(encoding="utf-8-sig", newline="")
        return io.TextIOWrapper(io.BytesIO(self.content), encoding="utf-8", newline="")


def open_text(path: Path) -> TextFile:
    """Find the encoding of a file, whole or line by line.

    Raises DataError for an empty file, and for one that is no text.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    _refuse_binary(path, head)
    fingerprint, is_utf8, has_lone_returns = _scan(path)
    if is_utf8 and not has_lone_returns and b"\0" not in head:
        return TextFile(path, fingerprint)
    text, warnings = _decode(path, path.read_bytes())
    if not text.strip():
        raise DataError(f"{path} is empty: give a file with a header line and rows")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return TextFile(path, fingerprint, text.encode("utf-8"), warnings)


def _refuse_binary(path: Path, head: bytes) -> None:
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError(f"{path} is empty: give a file with a header line and rows")
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            raise DataError(f"{path} is not text but {kind}")
    if b"\0" in head and _utf16(head) is None:
        raise DataError(f"{path} is not text but holds binary bytes: save the data as CSV (UTF-8)")


def _utf16(head: bytes) -> str | None:
    """Return the UTF-16 flavour that the bytes look like."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _scan(path: Path) -> tuple[str, bool, bool]:
    """Stream the file once: SHA-256, whether it is UTF-8, whether its lines end in bare returns."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, newlines, returns = True, 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            newlines += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            if is_utf8:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    is_utf8 = False
    if is_utf8:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            is_utf8 = False
    return digest.hexdigest(), is_utf8, bool(returns) and not newlines


def _decode(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    flavour = _utf16(content[: 1 << 16])
    if flavour is not None:
        try:
            return content.decode(flavour).removeprefix("\ufeff"), ()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} looks like UTF-16 but is broken at byte {error.start}: save it as UTF-8"
            ) from error
    try:
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        return _decode_by_line(path, content.removeprefix(codecs.BOM_UTF8))


def _decode_by_line(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    """Read each line as UTF-8 where it is that, and as Windows-1252 where it is not."""
    parts: list[str] = []
    odd: list[str] = []
    seen_utf8 = False
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            text = line.decode("utf-8")
            seen_utf8 = seen_utf8 or not line.isascii()
        except UnicodeDecodeError:
            odd.append(str(number))
            try:
                text = line.decode("cp1252")
            except UnicodeDecodeError:
                text = line.decode("latin-1")
        parts.append(text)
    if seen_utf8:
        warning = (
            f"{path.name} mixes encodings: {len(odd)} lines are not UTF-8 and were read as "
            f"Windows-1252 (lines {enumerate_some(odd)})"
        )
    else:
        warning = f"{path.name} is not UTF-8 and was read as Windows-1252"
    return "".join(parts), (warning,)
