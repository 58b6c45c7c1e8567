"""Answers and requests of the Engine API that are none of the objects, a module a noun. Data only.

``shoal.api`` encodes and decodes them; the daemon's backends build the answers. Keys are the API's, and a key that
clients read unconditionally is there even when it is empty (``omit_defaults=False``).
"""
