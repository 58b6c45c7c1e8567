"""The control plane: loops that meet only in the store, each a thin shell around a pure step.

``control`` reads and writes objects for the API; ``orchestrator`` makes tasks of services, ``allocator`` gives them
addresses, ``scheduler`` nodes, ``dispatcher`` takes them there and brings back what is observed.
:mod:`shoal.manager.found` makes a swarm's first objects and certificate, :mod:`shoal.manager.manager` starts and
stops them. Nothing here touches a node: that is the agent's.
"""
