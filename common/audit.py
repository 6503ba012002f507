"""`make audit`: whether a package that this project pins is known to be vulnerable, by pip-audit from osv.dev.

pip-audit runs in an environment of its own, which uv makes: it is no part of the project.
"""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import shorten

from common.command import run
from common.errors import UserError

UV = Path(sys.executable).with_name("uv")
PIP_AUDIT = "pip-audit==2.10.1"
OPTIONS = ("--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off", "--disable-pip")


def audit(requirements: Path) -> None:
    """Print how many packages were looked up.

    Raises:
        UserError: names those that are vulnerable, with the version that mends each; or they could not be looked up.
    """
    command = [UV, "tool", "run", PIP_AUDIT, *OPTIONS, "--require-hashes", "--requirement", requirements]
    said = subprocess.run(command, capture_output=True, text=True)
    try:
        found = json.loads(said.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = next(reversed(said.stderr.strip().splitlines()), "it said nothing")
        raise UserError(f"audit: nothing was looked up, for osv.dev cannot be asked: {shorten(reason, 90)}") from None
    bad = [(package, each) for package in found for each in package.get("vulns", [])]
    if bad:
        told = [f"{package['name']} {package['version']}: {one['id']}{_mended(one)}" for package, one in bad]
        raise UserError(f"audit: {len(bad)} known vulnerabilities: {'; '.join(told)}")
    print(f"audit: {len(found)} packages of {requirements}, none known to be vulnerable")


def _mended(vulnerability: dict) -> str:
    versions = vulnerability.get("fix_versions")
    return f" (mended in {', '.join(versions)})" if versions else ""


if __name__ == "__main__":
    sys.exit(run(lambda _: audit(Path("requirements.txt")), []))
