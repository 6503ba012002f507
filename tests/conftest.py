"""One thread for torch, here and in the processes that tests start: small networks are no faster with two, and the
two would wait for each other on a busy machine. Bits depend on it, so it must be the same everywhere."""

import os
from collections.abc import Callable

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
SAID = "said"


@pytest.fixture
def say(record_property) -> Callable[[str], None]:
    """Tells a count: pytest prints it when the test is over, also where it ran in a process of xdist."""
    return lambda line: record_property(SAID, line)


class Teller:
    def __init__(self, config: pytest.Config) -> None:
        self.plugins = config.pluginmanager

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.plugins.get_plugin("terminalreporter")
        if report.when == "call" and terminal:
            for line in [text for name, text in report.user_properties if name == SAID]:
                terminal.ensure_newline()
                terminal.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Teller(config))
