import os
import subprocess
import sys

import numpy as np
import pytest

from elastron.recon.lazy_zeros import lazy_zeros
from elastron.service.numerics import NUMERIC_ENVIRONMENT


@pytest.mark.parametrize("shape", [(0, 3), (3, 5), (2, 1000, 300)])
@pytest.mark.parametrize("dtype", [np.complex64, np.float32])
def test_it_is_zeros(shape, dtype):
    array = lazy_zeros(shape, dtype)
    expected = np.zeros(shape, dtype)
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == expected.dtype
    array += 1
    np.testing.assert_array_equal(array, expected + 1)


def test_memory_is_taken_where_it_is_written_to():
    code = """if True:
        import numpy as np, resource
        from elastron.recon.lazy_zeros import lazy_zeros
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        array = lazy_zeros((64, 1 << 17))
        array[3] = 1
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10)
    """
    environment = os.environ | NUMERIC_ENVIRONMENT
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout == "True\n"


def test_too_much_is_a_memory_error():
    with pytest.raises(MemoryError, match="no 72057594037927936 bytes"):
        lazy_zeros((1 << 53,))
