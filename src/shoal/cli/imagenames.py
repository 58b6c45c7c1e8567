"""Names of images: ``[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`` (the distribution project's reference grammar)."""


def split_reference(name: str) -> tuple[str, str]:
    """The repository, and the tag or digest; the latter is empty where the name has none."""
    repository, separator, digest = name.partition("@")
    if separator:
        return split_reference(repository)[0], digest
    head, slash, last = name.rpartition("/")
    bare, _, tag = last.partition(":")
    return head + slash + bare, tag


def familiar(name: str) -> str:
    """The name as shown to people: with its tag, without Docker Hub's host. What can be no name is left as it is."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    repository, tag = split_reference(short)
    if repository != repository.lower():
        return name
    return short if tag or not repository else f"{short}:latest"
