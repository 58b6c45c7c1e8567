"""Gives tasks their node: filters say which nodes can take a task, and why the others cannot; spread chooses.

:mod:`~shoal.manager.scheduler.filters` and :mod:`~shoal.manager.scheduler.load` are pure;
:mod:`~shoal.manager.scheduler.scheduler` is the station.
"""
