"""Categories and labels by every way in which programs write them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*)?")


@dataclass(frozen=True)
class Spellings:
    """Where each of some known texts stands, however it is written.

    A text is looked up as it is written first. Then a truth value is known in the spelling of every
    program, and a number by its value, where one known text alone has it and either is written as
    a number is: `2` is `2.0`, but `250.0` and `250.00` are two codes.

    >>> known = Spellings.of(["2.0", "3", "beta", "true"])
    >>> [known.place(text) for text in ("2", "2.00", "3.00", "beta", "True", "Beta")]
    [0, -1, 1, 2, 3, -1]
    >>> [known.respell(text) for text in ("2", "2.00", "TRUE", "Beta")]
    ['2.0', '2.00', 'true', 'Beta']
    """

    texts: tuple[str, ...]
    places: Mapping[str, int]
    numbers: Mapping[float, int]
    plain: frozenset[int]

    @classmethod
    def of(cls, known: Iterable[str]) -> Spellings:
        """Index some texts, in their order."""
        texts = tuple(known)
        places = {text: place for place, text in enumerate(texts)}
        for place, text in enumerate(texts):
            for spelling in spellings_of_truth(text):
                places.setdefault(spelling, place)
        values = [plain_number(text) for text in texts]
        times = Counter(values)
        numbers = {
            value: place
            for place, value in enumerate(values)
            if value is not None and times[value] == 1
        }
        plain = frozenset(i for value, i in numbers.items() if texts[i] == number_text(value))
        return cls(texts, places, numbers, plain)

    def place(self, text: str) -> int:
        """Return the place of a text, -1 where it is none that is known."""
        found = self.places.get(text)
        if found is not None:
            return found
        number = plain_number(text) if self.numbers else None
        if number is None or number not in self.numbers:
            return -1
        place = self.numbers[number]
        return place if place in self.plain or text == number_text(number) else -1

    def respell(self, text: str) -> str:
        """Return a text in the known spelling, one that is none as it is."""
        place = self.place(text)
        return text if place < 0 else self.texts[place]


def plainest(text: str) -> str:
    """Return the one spelling that stands for all of a truth value or a number.

    >>> [plainest(text) for text in ("TRUE", "2.50", "007", "Beta")]
    ['true', '2.5', '007', 'Beta']
    """
    for spelling in spellings_of_truth(text):
        return spelling
    number = plain_number(text)
    return text if number is None else number_text(number)


def spellings_of_truth(text: str) -> tuple[str, ...]:
    """Return how programs write the truth value that a text is; nothing for another text.

    >>> spellings_of_truth("True"), spellings_of_truth("yes")
    (('true', 'True', 'TRUE'), ())
    """
    if text.lower() not in ("true", "false"):
        return ()
    return text.lower(), text.capitalize(), text.upper()


def number_text(number: float) -> str:
    """Return how a number is written as a category.

    >>> number_text(2.0), number_text(2.5)
    ('2', '2.5')
    """
    return str(int(number)) if number.is_integer() else repr(number)


def plain_number(text: str) -> float | None:
    """Return the number that a text spells in digits alone; None for a code such as `007` or `1e5`.

    >>> plain_number(" 2.50"), plain_number("007")
    (2.5, None)
    """
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None
