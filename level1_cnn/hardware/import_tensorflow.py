"""Import TensorFlow and hide the lines about missing drivers that it prints before any setting can prevent them."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow() -> None:
    """Import TensorFlow and Keras; show the lines that they print only if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _hide_stderr():
        importlib.import_module("tensorflow")


@contextmanager
def _hide_stderr() -> Iterator[None]:
    # The lines come from C++ and go directly to file descriptor 2, so replacing sys.stderr would not hide them.
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as hidden_lines:
        os.dup2(hidden_lines.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden_lines.seek(0)
            os.write(stderr, hidden_lines.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
