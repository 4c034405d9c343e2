"""What trainers' rewards keep of the texts of rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.integrations.kept_texts import KeptTexts


@given(st.lists(st.text("ab", max_size=12)), st.integers(0, 40))
def test_any_texts(texts: list[str], most: int) -> None:
    """Each text has its own value, and no more characters are kept than was asked for."""
    kept = KeptTexts(lambda text: [text], most)
    for text in texts:
        assert kept(text) == [text]
        assert kept.characters <= most


def test_large_texts_do_not_add_up() -> None:
    """A thousand different lists of tools of 10 KB each stay within 100 KB; the last one is decoded once."""
    decoded = []

    def decode(text: str) -> str:
        decoded.append(len(text))
        return text

    kept = KeptTexts(decode, 100_000)
    for number in range(1000):
        for _ in range(8):  # the answers of a group
            assert kept(f"{number}".rjust(10_000)) is not None
        assert kept.characters <= 100_000
    assert len(decoded) == 1000


def test_threads_share_them() -> None:
    """Threads that ask for the same few texts get the value of their text."""
    kept = KeptTexts(str.upper, 20)
    with ThreadPoolExecutor(8) as pool:
        texts = ["abcd", "efgh", "ijkl", "mnop"] * 500
        assert list(pool.map(kept, texts)) == [text.upper() for text in texts]
