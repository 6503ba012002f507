"""`make test-pages`: the pages in a real browser, Debian's Chromium, which is installed where that may be done.

Exit status 0 with a line that starts with SKIP where it may not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("chromium", "fonts-dejavu-core")


def install() -> str:
    """Makes sure that there is a browser; why there is none, or nothing."""
    if shutil.which("chromium"):
        return ""
    if not shutil.which("apt-get"):
        return "there is no chromium, and no apt-get to install it with"
    if os.geteuid() != 0:
        return f"there is no chromium, and only root may install it: apt-get install {' '.join(PACKAGES)}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", "-qq", *words], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["apt-get failed"]
            return f"chromium cannot be installed: {lines[-1]}"
    return ""


def main() -> int:
    if missing := install():
        print(f"SKIP test-pages: {missing}")
        return 0
    return int(pytest.main(["-q", "-m", "slow", str(Path(__file__).parent), *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
