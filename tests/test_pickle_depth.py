import io
import pickle

import pytest

from iuv.pickle_depth import has_deep_tuples


@pytest.mark.parametrize(
    ("value", "depth"),
    [(1, 0), ([{"a": [1]}], 0), ((), 0), (((1,), 2, 3, 4, 5), 2), ([((((),),),)], 3)],
)
@pytest.mark.parametrize("protocol", range(1, 6))
def test_depth(value, depth, protocol):
    pickled = pickle.dumps(value, protocol)
    assert not has_deep_tuples(pickled, depth)
    assert depth == 0 or has_deep_tuples(pickled, depth - 1)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_memo_is_followed(protocol):
    value = ()
    for _ in range(10):
        value = (value, value)
    pickled = pickle.dumps([value, value], protocol)
    assert not has_deep_tuples(pickled, 10)
    assert has_deep_tuples(pickled, 9)


def test_file_is_left_behind_the_pickle():
    file = io.BytesIO(pickle.dumps((1,)) + pickle.dumps(((2,),)))
    assert [has_deep_tuples(file, 1), has_deep_tuples(file, 1)] == [False, True]


@pytest.mark.parametrize("damaged", [b"", b"\x80\x02", b"\x80\x02h\x00.", b"\x80\x02t.", b"no"])
def test_damaged(damaged):
    with pytest.raises((ValueError, IndexError, KeyError)):
        has_deep_tuples(damaged, 5)
