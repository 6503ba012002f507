"""The workbench: everything that no single competition owns. Never imports `competitions`."""

import os

# Threads that wait for each other sleep instead of spinning: on a machine with other work (a feed's own workers are
# enough) spinning made training of a small network two to seven times slower, on an idle one a quarter faster. It must
# be set before torch loads, and changes no bits.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
