"""The names of a sandbox: 127.0.0.11:53 in every container.

``message`` reads and writes packets (RFC 1035, RFC 6891), ``records`` holds what is known and answers from it, both
pure; ``upstream`` asks the host's resolvers for everything else; ``server`` joins them to sockets.

A sandbox is answered from its own zone, then from the networks it is on, in order: only names on the asker's own
networks are known. The records of a network are kept once, however many sandboxes are on it.

The keeper, which outlives shoald, runs this; shoald only sends it zones. Nothing here opens a namespace or keeps
state: sockets are handed in, already bound inside the sandbox.
"""
