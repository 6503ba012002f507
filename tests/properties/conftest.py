"""A few examples in `make test`; many in `make torture`, by `--hypothesis-profile at-length`."""

from hypothesis import HealthCheck, settings

quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
always = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": quiet}
settings.register_profile("few", max_examples=40, **always)
settings.register_profile("at-length", max_examples=200, **always)
settings.load_profile("few")
