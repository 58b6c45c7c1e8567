"""The lab's steps, a function each, in the order in which the lab takes them.

``look`` asks the machine and the engine for what several steps check; ``swarm`` is the machine before and after
``swarm init``; ``default_net`` the first service and the routing mesh; ``custom_overlay`` the second service, its
network and its names; ``beyond`` what the lab only mentions; ``end`` how all of it goes away again.
"""
