"""One thread for torch, here and in the processes that tests start: small networks are no faster with two, and the
two would wait for each other on a busy machine. Bits depend on it, so it must be the same everywhere."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
