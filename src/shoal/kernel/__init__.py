"""The kernel's interfaces, typed: the only importer of netlink, nft and setns in Shoal.

The nouns: a namespace (:mod:`netns`), a rtnetlink socket that lives in one (:class:`netlink.Netlink`), what it reads
(:mod:`records`: Link, Address, Route, Rule, Neighbour, FdbEntry), what it does (:mod:`changes`: one function a verb,
each building one message), what it hears (:mod:`monitor`); one nft context a namespace (:mod:`nftables`), its sysctls
(:mod:`sysctl`), its tracked connections (:mod:`conntrack`). Below them :mod:`netlink_codec` and :mod:`netlink_socket`
know bytes and sockets; :mod:`faults` turns an errno into one of Shoal's kinds of error.

:mod:`mounts` has what is mounted and file trees to be mounted, :mod:`routes` how the host reaches others.

Called by ``network`` (which describes, reads back and applies), ``observe``, ``engine``, ``keeper`` and ``daemon``.
Calls nothing but the kernel and libnftables.

Everything here is synchronous and none of it is thread-safe: what enters a namespace is run on one worker thread that
does nothing else, never on the event loop's. Only :class:`monitor.Monitor`, once it is open, and the short looks of
:mod:`routes` at the host's own namespace are meant for the loop.

Sockets and nft contexts keep their namespace alive: close them before :func:`netns.delete`, or its links stay.
Nothing here decides what should be there, knows an owner, or keeps state about the network.
"""
