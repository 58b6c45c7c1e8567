"""The walk through the lab, which ``tools/lab.py`` starts.

``machine`` says whether and where the lab can run; ``place`` is that where: the machine's own namespaces, or a box of
the lab's own; ``transcript`` runs the commands, prints them with what they print, and keeps count of the checks;
``outside`` is the small name server of the outside world; ``steps`` are the lab's steps, a function each, in order.
Nothing here knows Shoal's code: what the lab shows is shown through the commands that a person would type.
"""
