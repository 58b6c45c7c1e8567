"""Validated reads and writes of the swarm's objects, one module a noun: what the API calls on a manager.

Each request is one transaction: what is refused changes nothing. Errors carry Docker's own words; those that dockerd
passes on from its swarm's gRPC service begin with ``rpc error: code = … desc = …``, and clients match on them.
"""
