"""The node's side of the swarm: it is told what it shall be, makes it so through the engine, and reports.

:mod:`~shoal.agent.session` holds the line to a manager; :mod:`~shoal.agent.worker` keeps the node's snapshot, on disk
too, and has one runner a task; :mod:`~shoal.agent.fsm` is, purely, a task's next step; :mod:`~shoal.agent.controller`
does the steps on the engine; :mod:`~shoal.agent.networks` turns the snapshot's resources, purely, into what the engine
is told of the swarm's networks. With no manager in reach it goes on with the last snapshot.
"""
