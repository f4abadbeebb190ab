"""Dates written as text, read at predict in the way in which their column was read at training."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_NUMBER = {name: place for place, month in enumerate(_MONTHS, 1) for name in (month, month[:3])}
_CENTURY = 70
"""Two digits from here on are a year of the last century."""
_PARTS = {
    "%Y": "(?P<year>[0-9]{4})",
    "%y": "(?P<short>[0-9]{2})",
    "%m": "(?P<month>[0-9]{1,2})",
    "%b": "(?P<name>[A-Za-z]{3})",
    "%B": "(?P<name>[A-Za-z]{3,9})",
    "%d": "(?P<day>[0-9]{1,2})",
    "%H": "(?P<hour>[0-9]{1,2})",
    "%I": "(?P<half>[0-9]{1,2})",
    "%p": "(?P<noon>[AP])M",
    "%M": "(?P<minute>[0-9]{1,2})",
    "%S": "(?P<second>[0-5]?[0-9])",
    "%.f": r"(?:\.(?P<fraction>[0-9]+))?",
    "%#z": r"\s*(?P<zone>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)",
}


@lru_cache
def pattern(format: str) -> str:
    """Return a regular expression of what a format reads, in which the parts have names.

    A year has four digits, or two where the format says so; other numbers may have one.

    Raises ValueError for what is no format.

    >>> bool(re.search(pattern("%d.%m.%Y"), "1.12.2024"))
    True
    """
    parts = re.findall(r"%\.f|%#z|%.|\s+|.", format, re.DOTALL)
    found = "".join(
        _PARTS.get(each) or (r"\s*" if each.isspace() else re.escape(each)) for each in parts
    )
    try:
        return re.compile(f"(?i)^{found}$").pattern
    except re.error as error:
        raise ValueError(f"{format!r} is no format of dates ({error})") from None


def read_moment(text: str, format: str = "") -> datetime | None:
    """Return the moment that a text means: in the format, else in ISO 8601; None for no moment.

    Moments with a zone become UTC without one.

    >>> read_moment("31.12.24", "%d.%m.%y").isoformat(), read_moment("soon", "%d.%m.%y")
    ('2024-12-31T00:00:00', None)
    """
    text = text.strip()
    found = re.search(pattern(format), text) if format else None
    try:
        if found is not None:
            return _moment(found.groupdict())
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def in_utc(moment: datetime) -> datetime:
    """Return a moment without its zone, in UTC if it had one."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def _moment(parts: dict[str, str | None]) -> datetime:
    """Put the parts of a date together. Raises ValueError when there is no such day or time."""
    short, name, fraction = parts.get("short"), parts.get("name"), parts.get("fraction")
    year = int(parts.get("year") or 0)
    if short is not None:
        year = int(short) + (1900 if int(short) >= _CENTURY else 2000)
    month = int(parts.get("month") or 1) if name is None else _NUMBER.get(name.lower(), 0)
    hour, minute, second = (int(parts.get(each) or 0) for each in ("hour", "minute", "second"))
    if parts.get("noon") is not None:
        hour = _hour(int(parts.get("half") or 0), str(parts["noon"]))
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    day = int(parts.get("day") or 1)
    found = datetime(year, month, day, hour, minute, second, micro)
    return found - _offset(parts.get("zone"))


def _hour(half: int, noon: str) -> int:
    """Return the hour of the day. Raises ValueError when half a day has no such hour."""
    if not 1 <= half <= 12:
        raise ValueError(f"no hour {half} before or after noon")
    return half % 12 + (12 if noon in "Pp" else 0)


def _offset(zone: str | None) -> timedelta:
    """Return how far a zone (Z, UTC, +02, +0200, -02:30) is ahead of UTC."""
    if zone is None or zone[0] not in "+-":
        return timedelta()
    ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))
    return -ahead if zone[0] == "-" else ahead
