"""The parts of the registry protocol (OCI distribution specification, Docker's token authentication).

Nouns: a Host is one place to ask for a repository (a mirror or the registry itself, https or http); an AuthConfig is
what ``docker login`` left and the API client sends along; a Challenge is a registry's WWW-Authenticate answer.

:mod:`shoal.container.registry` puts them together and is what everybody else calls. ``hosts`` and ``errors`` are pure.
Nothing here knows of containerd.
"""
