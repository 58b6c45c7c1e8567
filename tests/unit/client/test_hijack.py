from hypothesis import given
from hypothesis import strategies as st

from shoal.client.hijack import Demultiplexer, demultiplex, frame


@given(st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(min_size=1, max_size=20))), st.integers(1, 9))
def test_frames_arrive_whole_however_they_are_cut(frames: list[tuple[int, bytes]], cut: int) -> None:
    data = b"".join(frame(stream, payload) for stream, payload in frames)
    demultiplexer = Demultiplexer()
    out = {1: b"", 2: b""}
    for start in range(0, len(data), cut):
        for stream, piece in demultiplexer.feed(data[start : start + cut]):
            out[stream] += piece
    assert out == {n: b"".join(payload for stream, payload in frames if stream == n) for n in (1, 2)}


def test_a_terminal_is_all_stdout() -> None:
    assert list(demultiplex([b"a", b"b"], tty=True)) == [(1, b"a"), (1, b"b")]
