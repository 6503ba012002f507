"""What is measured, each a script of its own; `bench` runs those that must hold."""

import common  # noqa: F401 (before torch: threads wait for each other as in every command)
