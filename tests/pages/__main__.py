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
    apt_get("update")  # where that fails, what is known of the packages may still do
    if said := apt_get("install", "--yes", "--no-install-recommends", *PACKAGES):
        return f"chromium cannot be installed: {said}"
    if not shutil.which("chromium"):
        return "there is no chromium, also after apt-get has installed its package"
    return ""


def apt_get(*words: str) -> str:
    """Why it failed, or nothing. It asks nobody, and waits a minute for another one to end."""
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60", *words]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if not done.returncode:
        return ""
    return (done.stderr.strip().splitlines() or [f"apt-get {words[0]} ended with {done.returncode}"])[-1]


def main() -> int:
    if missing := install():
        print(f"SKIP test-pages: {missing}")
        return 0
    return int(pytest.main(["-q", "-m", "slow", str(Path(__file__).parent), *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
