"""Messages that exist on the wire only: between the agents and the dispatcher, between shoald and its keeper; and how
a gRPC call is declared.

No logic lives here. What the Engine API sends are the objects themselves (``shoal.objects``).
"""
