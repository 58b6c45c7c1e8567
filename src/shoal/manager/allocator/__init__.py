"""Gives addresses: subnets and VXLAN ids to networks, VIPs and ports to services, attachments to tasks and nodes.

:mod:`~shoal.objects.ipam` has the address pools and :mod:`~shoal.manager.allocator.ports` the published
ports, both pure; :mod:`~shoal.manager.allocator.allocator` is the station that keeps them in step with the store. What
is allocated is written into the objects, so that the pools can be made anew from the store alone.
"""
