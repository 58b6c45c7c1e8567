"""The vocabulary: the Engine API's own objects, typed once, stored and sent as they are.

Every class is a frozen msgspec Struct whose attributes are snake_case and whose JSON keys are the Engine API's
(``base.py`` has the rule). ``None`` means absent and is not sent, so that a spec that came in goes out again exactly.
The nouns: :mod:`service`, :mod:`task`, :mod:`node`, :mod:`network`, :mod:`cluster` (the swarm), :mod:`secret`,
:mod:`container`. :mod:`state` has the task states, :mod:`ids` the identifiers, :mod:`ipam` address pools,
:mod:`constraint` and :mod:`template` the small languages in specs.

Everybody imports these; they import msgspec, and of Shoal the errors alone.
"""
