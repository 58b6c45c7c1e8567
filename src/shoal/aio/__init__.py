"""What asyncio lacks for a daemon: owned tasks, a clock that tests can turn, a broadcast of events.

Everybody may use it; it imports nothing of Shoal's. Only :mod:`shoal.aio.tasks` starts tasks.
"""
