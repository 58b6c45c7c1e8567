"""What asyncio lacks for a daemon: owned tasks, a clock that tests can turn, a broadcast of events, and programs that
outlive us.

Everybody may use it; of Shoal's it imports the errors only. Only :mod:`shoal.aio.tasks` starts tasks.
"""
