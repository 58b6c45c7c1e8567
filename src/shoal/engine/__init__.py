"""The node's own engine: what ``docker run`` and a task's controller both go through.

The nouns: a *container* (:mod:`~shoal.engine.containers` keeps the records, :mod:`~shoal.engine.lifecycle` runs
them), its *sandbox* (:mod:`~shoal.engine.networks`), its files (:mod:`~shoal.engine.files`), *volumes*, *execs*,
*events*. It calls ``container`` for processes and images, ``network`` for namespaces and addresses, the keeper for
output and names, ``localdb`` to remember. It knows of no swarm: what the cluster's networks are is told by the agent.
"""
