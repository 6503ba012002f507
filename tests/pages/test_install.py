"""`make test-pages` without a browser: it installs one, or says in a line what is missing, and fails nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages.__main__ import PACKAGES, install

ROOT = Path(__file__).resolve().parents[2]
AS = "import os, runpy; os.geteuid = lambda: {user}; runpy.run_module('tests.pages', run_name='__main__')"
"""The whole command, as root (0) or somebody else."""
FAILS = 'echo "E: Unable to fetch some archives" >&2; echo "E: Unable to locate package chromium" >&2; exit 100'
INSTALLS = 'case "$*" in *install*) printf "#!/bin/sh\\n" > {bin}/chromium; /bin/chmod +x {bin}/chromium;; esac'


@pytest.fixture
def path(tmp_path, monkeypatch):
    """`path(script)` → a PATH that holds nothing, or an apt-get of these lines, which writes down how it was called."""

    def made(script: str | None) -> Path:
        bin_ = tmp_path / "bin"
        bin_.mkdir()
        if script is not None:
            called = f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> {tmp_path}/called\n'
            (bin_ / "apt-get").write_text(called + script.format(bin=bin_))
            (bin_ / "apt-get").chmod(0o755)
        monkeypatch.setenv("PATH", str(bin_))
        return tmp_path / "called"

    return made


@pytest.mark.parametrize(
    ("script", "user", "reason"),
    [
        (None, 0, "there is no chromium, and no apt-get to install it with"),
        (
            "exit 0",
            1000,
            "there is no chromium, and only root may install it: apt-get install chromium fonts-dejavu-core",
        ),
        (FAILS, 0, "chromium cannot be installed: E: Unable to locate package chromium"),
        ("exit 7", 0, "chromium cannot be installed: apt-get install ended with 7"),
        ("exit 0", 0, "there is no chromium, also after apt-get has installed its package"),
    ],
    ids=["no apt-get", "not root", "apt-get fails", "apt-get fails in silence", "the package is another"],
)
def test_where_no_browser_can_be_had_it_says_why_in_a_line_and_fails_nobody(path, script, user, reason):
    called = path(script)
    command = [sys.executable, "-c", AS.format(user=user)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"SKIP test-pages: {reason}\n", "")
    assert called.exists() == (script is not None and user == 0)


def test_where_it_may_the_browser_is_installed_from_packages_and_nobody_is_asked(path, monkeypatch):
    called = path(INSTALLS)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert install() == ""
    update, packages = called.read_text().splitlines()
    assert update.startswith("noninteractive -qq ")
    assert update.endswith(" update")
    assert packages.endswith(f" install --yes --no-install-recommends {' '.join(PACKAGES)}")
    called.unlink()
    assert install() == ""
    assert not called.exists()
