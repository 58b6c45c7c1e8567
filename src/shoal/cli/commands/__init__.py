"""The commands, a module for those that change together.

Each module has ``COMMANDS``, rows of :class:`shoal.cli.command.Command`; ``shoal.cli.index`` says which module has
which. A command's function takes the context and the parsed arguments, calls the engine, prints, and returns the exit
code. They import one another's helpers seldom, since each import is time before the first request.
"""
