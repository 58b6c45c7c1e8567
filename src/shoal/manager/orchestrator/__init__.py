"""Makes tasks of services: as many as are wanted, replaced when they end, rolled over when the service changes.

The nouns: a *slot* is the place of one replica (a number, or for a global service a node's id) and holds the tasks
that have been tried there; a slot's *runnable* tasks are those that are wanted at RUNNING or before. The step in
:mod:`~shoal.manager.orchestrator.step` is pure: objects and the time in, changed objects and the next time to look
out. The loop around it is :mod:`~shoal.manager.orchestrator.orchestrator`; :mod:`~shoal.manager.orchestrator.reaper`
removes tasks that nobody asks about any more.
"""
