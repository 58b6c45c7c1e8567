"""Who belongs to an etcd: its members, and how one comes and goes.

A new member first is a learner, which has no vote: it can be slow, or never come, without harm. etcd 3.4 allows one
learner at a time, and looks well at who is there: a member is added only while all voters have been connected for five
seconds, and removed only where enough of the others are.
"""

from dataclasses import dataclass

from shoal.errors import ShoalError
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.pb import rpc_pb2 as pb
from shoal.wire.rpc import Unary

_LIST = Unary("etcdserverpb.Cluster/MemberList", pb.MemberListRequest, pb.MemberListResponse)
_ADD = Unary("etcdserverpb.Cluster/MemberAdd", pb.MemberAddRequest, pb.MemberAddResponse)
_PROMOTE = Unary("etcdserverpb.Cluster/MemberPromote", pb.MemberPromoteRequest, pb.MemberPromoteResponse)
_UPDATE = Unary("etcdserverpb.Cluster/MemberUpdate", pb.MemberUpdateRequest, pb.MemberUpdateResponse)
_REMOVE = Unary("etcdserverpb.Cluster/MemberRemove", pb.MemberRemoveRequest, pb.MemberRemoveResponse)
_MOVE = Unary("etcdserverpb.Maintenance/MoveLeader", pb.MoveLeaderRequest, pb.MoveLeaderResponse)
STATUS = Unary("etcdserverpb.Maintenance/Status", pb.StatusRequest, pb.StatusResponse)


@dataclass(frozen=True)
class Member:
    """``name`` is empty until the member has started once."""

    id: int
    name: str
    peer_url: str
    is_learner: bool


@dataclass(frozen=True)
class Status:
    """What one member says of itself. ``leader`` is the id of the one that it follows, 0 for none: then it has no
    quorum. ``errors`` are etcd's words on what is wrong with it, such as alarms."""

    id: int
    leader: int
    is_learner: bool
    raft_index: int
    errors: tuple[str, ...]


class Members:
    """The members, seen and changed through the one that ``etcd`` is connected to; that must be no learner.

    What changes them is asked once, and raises :class:`~shoal.store.etcd.client.Unanswered` where no answer comes:
    :meth:`list` tells whether it was done.
    """

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def list(self) -> list[Member]:
        """All members as far as the one that is asked knows, which takes no quorum."""
        answer = await self._etcd.ask_patiently(_LIST, pb.MemberListRequest())
        return [_member(member) for member in answer.members]

    async def add_learner(self, peer_url: str) -> Member:
        """Let the member that will be at ``peer_url`` in, without a vote.

        Raises Conflict where one is there already, or another learner is; Unavailable while not all voters are well.
        """
        answer = await self._etcd.ask(_ADD, pb.MemberAddRequest(peerURLs=[peer_url], isLearner=True))
        return _member(answer.member)

    async def promote(self, id: int) -> None:
        """Give a learner its vote. Raises Unavailable while it has not caught up, or not started; Conflict where it has
        a vote already; NotFound."""
        await self._etcd.ask(_PROMOTE, pb.MemberPromoteRequest(ID=id))

    async def move(self, id: int, peer_url: str) -> None:
        """A member is at another URL from now on."""
        await self._etcd.ask(_UPDATE, pb.MemberUpdateRequest(ID=id, peerURLs=[peer_url]))

    async def remove(self, id: int) -> None:
        """Exclude a member for good; where it runs, it ends, and each time it is started again.

        Raises Unavailable where the others would be left without a quorum, NotFound.
        """
        await self._etcd.ask(_REMOVE, pb.MemberRemoveRequest(ID=id))

    async def hand_over(self) -> None:
        """Have another member lead, if the one that is asked does; any that can. Raises Unavailable and the like where
        none can."""
        own = await self.status()
        if own.leader != own.id:
            return
        failure: ShoalError | None = None
        for member in await self.list():
            if member.id == own.id or member.is_learner:
                continue
            try:
                await self._etcd.ask(_MOVE, pb.MoveLeaderRequest(targetID=member.id))
            except ShoalError as error:
                failure = error
            else:
                return
        if failure is not None:
            raise failure

    async def status(self) -> Status:
        """Of the member that is asked, which may be a learner, or without a quorum unless it was started so."""
        answer = await self._etcd.ask(STATUS, pb.StatusRequest())
        return Status(answer.header.member_id, answer.leader, answer.isLearner, answer.raftIndex, tuple(answer.errors))


def _member(member: pb.Member) -> Member:
    return Member(member.ID, member.name, next(iter(member.peerURLs), ""), member.isLearner)
