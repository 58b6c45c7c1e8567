"""The Engine API's routes, a module a noun: ``routes(backend)`` gives the noun's table.

A handler is about ten lines: it decodes the request (``shoal.api.requests``), makes one call of its backend and encodes
the answer. Filters of lists are applied here, to what the backend lists. ``daemon`` puts the tables together; order
matters only within a noun, where a fixed word comes before a pattern (``/networks/create`` before ``/networks/{id}``).
"""
