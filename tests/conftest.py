"""For all tests: how long hypothesis takes to think of an example says something of the machine, not of the test."""

from hypothesis import HealthCheck, settings

settings.register_profile("shoal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shoal")
