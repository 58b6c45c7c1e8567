"""shoald: reads its configuration once, puts the parts together, runs them until it is told to end.

:mod:`~shoal.daemon.config` is dockerd's flags and configuration file; :mod:`~shoal.daemon.build` is the only place
that constructs; :mod:`~shoal.daemon.swarm` is this node's membership in a swarm (init, leave, and what follows);
:mod:`~shoal.daemon.run` is the process: signals, pid file, readiness.
"""
