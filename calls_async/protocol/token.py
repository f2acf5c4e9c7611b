"""The campaign's token: whoever has it has the campaign (C-M-18), so it is a type that shows nothing."""

from __future__ import annotations

from typing import Any, NoReturn

HIDDEN = "***"
"""What stands in a token's place."""


class Token:
    """Holds a token from the client's door to the URL. Whatever prints, formats, logs or pickles it, or dumps the
    variables of a traceback, gets `HIDDEN`; only `reveal` gives it away."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the token, for a URL or to be compared; bind it to no name that outlives the statement."""
        return self.__value

    def __repr__(self) -> str:
        return HIDDEN

    def __str__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other.__value == self.__value

    def __hash__(self) -> int:
        return hash(self.__value)

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("a token is not pickled; make the client anew where it is needed")


AnyToken = Token | str
"""What a door takes."""


def to_token(token: AnyToken) -> Token:
    """Return the token as what shows nothing."""
    return token if isinstance(token, Token) else Token(token)
