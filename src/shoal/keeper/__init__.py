"""The keeper: one small process a node that outlives shoald.

While shoald restarts, or is dead, two things must not stop: reading what containers write (their pipes fill up and
they hang), and answering their names. So both live here, in a process of its own with its own session, commanded over
a unix socket in the language of ``shoal.wire.keeper``. What it is told it writes to its state folder, and a keeper that
is itself started anew goes on from there.

* In the keeper: ``server`` takes commands and attached clients, ``service`` carries them out, ``session`` reads a
  container's FIFOs, ``jsonlog`` and ``logwriter`` keep its log, ``state`` the folder, ``sockets`` opens them inside a
  sandbox; names are answered by ``shoal.network.dns``. ``__main__`` starts it all.
* In shoald: ``supervisor`` starts, adopts and restarts the process, ``client`` talks to it, ``logfile`` reads logs
  (no business of the keeper's) with ``watch`` to follow them.

It knows no containerd, no networks' devices, no objects of the cluster, and holds no policy: it is told. It must stay
small, since it is the one process whose death costs something (up to a partial line of each container's log).
"""
