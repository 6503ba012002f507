"""The official client's classes take any value for any field; a server trusts none."""

from enum import Enum
from typing import Any, TypeVar

from kagglesdk.kaggle_object import KaggleObject, ListSerializer, MapSerializer

T = TypeVar("T", bound=KaggleObject)

LARGEST_NUMBER = 2**63
"""What SQLite keeps."""


def checked(message: T) -> T:
    """The message, whose fields have the types that its class names, and numbers that can be kept.

    Raises:
        TypeError: names the first field that has not.
    """
    for field in message._fields:
        value = getattr(message, field.private_field_name)
        if value is None or isinstance(field.serializer, MapSerializer):
            continue
        many = isinstance(field.serializer, ListSerializer)
        if many and not isinstance(value, list):
            raise TypeError(f"{field.json_name} is no list")
        for item in value if many else [value]:
            _check(item, field.field_type, field.json_name)
    return message


def _check(value: Any, kind: type, name: str) -> None:
    if issubclass(kind, KaggleObject) and isinstance(value, kind):
        checked(value)
    elif kind in (str, int, float, bool) or issubclass(kind, Enum):
        number = kind is int and type(value) is int and abs(value) < LARGEST_NUMBER
        if not number if kind is int else not isinstance(value, kind):
            raise TypeError(f"{name} is no {kind.__name__}")
