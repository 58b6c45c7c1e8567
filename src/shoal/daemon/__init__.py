"""shoald: reads its configuration once, puts the parts together, runs them until it is told to end.

:mod:`~shoal.daemon.config` is dockerd's flags and configuration file; :mod:`~shoal.daemon.build` constructs
the engine, :mod:`~shoal.daemon.node` the API over it and keeps the order of start and end; :mod:`~shoal.daemon.swarm`
is this node's membership in a swarm (init, leave, and what follows), which constructs manager and agent. The modules
named after the API's nouns are the backends that its routes ask for. Nobody else constructs any of these;
:mod:`~shoal.daemon.run` is the process: signals, pid file, readiness.
"""
