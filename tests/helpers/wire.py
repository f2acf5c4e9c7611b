"""Answers in place of a network."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses

from calls_async import Contact
from tests.helpers.servers import TOKEN


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not give aiohttp 3.14 the stream writer that it asks for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Wire(aioresponses):
    """Answers in place of a network; `sent` has every request as aiohttp got it."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("response_class", _Response)
        super().add(*args, **kwargs)

    @property
    def sent(self) -> list[tuple[str, Any, dict[str, Any]]]:
        return [(method, url, call.kwargs) for (method, url), calls in self.requests.items() for call in calls]


JAICP = f"https://app.jaicp.com/api/calls/campaign/{TOKEN}"
CONTACTS: list[Contact | dict[str, Any]] = [
    Contact(phone="16500000000", payload={"name": "Alex"}),
    {"phone": 16500000001},
]
