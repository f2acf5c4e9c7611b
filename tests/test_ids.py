"""An answer's IDs, looked at as a whole, are what looking at each of them gives."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Response, UnreadableAnswer, read_ids

WORDS = st.one_of(
    st.text(alphabet="abcXYZ0189_.:+/=-", max_size=8),
    st.text(alphabet='a1", []\\', max_size=6),
    st.sampled_from(["x" * 200, "x" * 201, "5665334669"]),
    st.integers(),
    st.none(),
    st.lists(st.just("1"), max_size=1),
)


def read(body: bytes) -> list[str] | None:
    try:
        return read_ids(Response(status=200, body=body))
    except UnreadableAnswer:
        return None


@given(
    words=st.lists(WORDS, max_size=6),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,", ":")]),
    around=st.sampled_from(["", "\n", " ", "x"]),
)
@example(words=["a, b", "c"], separators=(",", ":"), around="")
@example(words=["a b"], separators=(",", ":"), around="")
@example(words=[""], separators=(",", ":"), around="")
def test_ids_are_read_alike(words: list[object], separators: tuple[str, str], around: str) -> None:
    # C-M-17
    body = (json.dumps(words, ensure_ascii=False, separators=separators) + around).encode()
    quick = endpoints._read_words(body)
    if quick is not None:
        assert quick == words == read(body)
        assert all(endpoints._WORD.fullmatch(word) for word in quick)
    try:
        slow: list[str] | None = [endpoints._word(str(one) if type(one) is int else one) for one in json.loads(body)]
    except (ValueError, UnreadableAnswer):
        slow = None
    assert read(body) == slow


def test_the_usual_answers_are_looked_at_as_a_whole() -> None:
    for body in (b'["1","2"]', b'["5665334669", "5665334670"]\n', b'["1"]'):
        assert endpoints._read_words(body) == json.loads(body)
