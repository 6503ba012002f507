"""The properties of `tests/properties` once more, on hundreds of inputs each."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "properties"


@pytest.mark.torture
def test_all_properties_hold_at_length(say):
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "at-length", str(FOLDER))
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=FOLDER.parents[1])
    assert done.returncode == 0, done.stdout[-4000:]
    say(f"{re.search(r'[0-9]+ passed', done.stdout)[0]}: properties that hold on 200 inputs each")
