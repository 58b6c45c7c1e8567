"""What there is to see of a node's network, read back from the kernel, whoever made it.

The nouns of :mod:`~shoal.observe.graph`: a namespace, its interfaces, the other end of a veth pair (its peer), a
tunnel (VXLAN), a default route; each with its owner, a task, container or network, as the kernel's aliases have it.
:mod:`~shoal.observe.topology` reads them, :mod:`~shoal.observe.draw` draws them as a tree, purely.

The API calls it for ``shoal topology``. It reads through ``network``'s handles, on the reconciler's thread, and it
must not change anything, or show what is only wanted: what the kernel does not have is not there.
"""
