import os

import pytest

from benchmarks.common import in_new_process


def test_new_process_returns_results_and_raises_errors():
    assert in_new_process(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        in_new_process(divmod, 1, 0)
