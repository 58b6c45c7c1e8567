"""docker rmi: what goes, what stays, what stands in the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container.image.removal import ImageUser, Removal, is_id_of, plan_removal
from shoal.container.reference import Reference, parse
from shoal.errors import Conflict

IMAGE = "sha256:" + "7ca2" * 16
DIGEST = "@sha256:" + "a" * 64
STOPPED = ImageUser("c" * 64, IMAGE, running=False)
RUNNING = ImageUser("d" * 64, IMAGE, running=True)
OTHER = ImageUser("e" * 64, "sha256:" + "0" * 64, running=True)


def names(*texts: str) -> list[Reference]:
    return [parse(text) for text in texts]


def plan(
    asked: str | None, held: list[Reference], users: list[ImageUser] | None = None, *, force: bool = False
) -> tuple[list[str], bool]:
    reference = parse(asked) if asked is not None else None
    removal = plan_removal(image_id=IMAGE, names=held, asked=reference, users=users or [OTHER], force=force)
    return [name.familiar for name in removal.untag], removal.delete


def test_the_last_name_takes_the_image_along() -> None:
    assert plan("bb:1", names("bb:1")) == (["bb:1"], True)
    assert plan("bb:1", names("bb:1", "bb" + DIGEST)) == (["bb:1", "bb" + DIGEST], True)


def test_another_name_keeps_it() -> None:
    assert plan("bb:1", names("bb:1", "bb:2", "bb" + DIGEST), [RUNNING]) == (["bb:1"], False)
    assert plan("bb:1", names("bb:1", "cc:1", "bb" + DIGEST)) == (["bb:1", "bb" + DIGEST], False)


def test_a_user_of_the_last_name_is_in_the_way() -> None:
    with pytest.raises(Conflict) as error:
        plan("foo:2", names("foo:2"), [STOPPED])
    assert str(error.value) == (
        'conflict: unable to remove repository reference "foo:2" (must force) - container cccccccccccc '
        "is using its referenced image 7ca27ca27ca2"
    )
    assert plan("foo:2", names("foo:2"), [STOPPED], force=True) == (["foo:2"], True)
    assert plan("foo:2", names("foo:2"), [RUNNING], force=True) == (["foo:2"], False)


def test_by_id() -> None:
    assert plan(None, []) == ([], True)
    assert plan(None, names("bb:1", "bb" + DIGEST)) == (["bb:1", "bb" + DIGEST], True)
    with pytest.raises(Conflict) as error:
        plan(None, names("bb:1", "cc:1"))
    assert str(error.value) == (
        "conflict: unable to delete 7ca27ca27ca2 (must be forced) - image is referenced in multiple repositories"
    )
    assert plan(None, names("bb:1", "cc:1"), force=True)[1]
    with pytest.raises(Conflict, match=r"\(must be forced\) - image is being used by stopped container cccccccccccc"):
        plan(None, names("bb:1"), [STOPPED])
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image is being used by running container dddddddddddd"):
        plan(None, names("bb:1"), [RUNNING], force=True)


def test_ids() -> None:
    assert is_id_of("7ca2", IMAGE) and is_id_of(IMAGE, IMAGE) and is_id_of("sha256:7ca27", IMAGE)
    assert not is_id_of("7ca3", IMAGE) and not is_id_of("nginx", IMAGE)


POOL = names("a:1", "a:2", "b:1", "a" + DIGEST, "b" + DIGEST)


@given(
    st.lists(st.sampled_from(POOL), min_size=1, unique=True), st.booleans(), st.sampled_from([[], [STOPPED], [RUNNING]])
)
def test_names_are_only_lost_together_with_the_image_or_by_asking(
    held: list[Reference], force: bool, users: list[ImageUser]
) -> None:
    for asked in held:
        try:
            removal: Removal = plan_removal(image_id=IMAGE, names=held, asked=asked, users=users, force=force)
        except Conflict:
            assert users and not force
            continue
        assert asked in removal.untag and set(removal.untag) <= set(held)
        assert all(name == asked or name.digest is not None for name in removal.untag)
        if removal.delete:
            assert set(removal.untag) == set(held)
            assert RUNNING not in users
