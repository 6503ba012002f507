"""Signed addresses that expire, for what is downloaded from the practice leaderboard and uploaded to it."""

import hashlib
import hmac
import time
from urllib.parse import quote, urlencode

from common.kaggle.practice.refused import Refused

HOUR = 3600
WEEK = 7 * 24 * HOUR


def sign(path: str, secret: str, lifetime: int = HOUR) -> str:
    """The path with its time of expiry, `lifetime` seconds from now, and a signature over both."""
    expires = str(int(time.time()) + lifetime)
    return f"{quote(path)}?{urlencode({'expires': expires, 'signature': _signature(path, expires, secret)})}"


def check_signature(path: str, expires: str, signature: str, secret: str) -> None:
    """Raises Refused where the address was not made by `sign`, or is too old."""
    if not hmac.compare_digest(_signature(path, expires, secret).encode(), signature.encode()):
        raise Refused(403, "this address is not signed")
    if int(expires) < time.time():
        raise Refused(403, "this address has expired: ask for a new one")


def _signature(path: str, expires: str, secret: str) -> str:
    return hmac.new(secret.encode(), f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
