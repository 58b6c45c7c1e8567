"""The ``shoal`` command: docker's verbs, flags and output, over the Engine API.

Its nouns: a command (one row of a table: name, arguments, flags, examples, a function), a group of commands (a noun:
``container``, ``service``), the arguments as parsed, the context (the engine, the streams, the time), a listing (the
columns of a table).

Help, completion and parsing derive from the command's row; :mod:`shoal.cli.main` loads a noun's module when its verb
is called and is the only place that imports late, because what a command imports is what its user waits for.
Nothing here may import asyncio, aiohttp or msgspec on an ordinary path.

It calls ``shoal.client`` and nothing else of Shoal but ``errors`` and ``version``: it knows HTTP only.
"""
