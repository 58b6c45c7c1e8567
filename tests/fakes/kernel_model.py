"""The kernel as far as a plan goes: it refuses what the kernel refuses, and takes away by itself what that does."""

from dataclasses import replace

from shoal.network.items import (
    HOST,
    Address,
    Bridge,
    FdbEntry,
    Item,
    Key,
    Link,
    Namespace,
    Neighbour,
    Route,
    Rule,
    Stray,
    Sysctl,
    Table,
    Veth,
    Vxlan,
    same_device,
)
from shoal.network.plan import Add, Items, Operation, Remove, Set


class Refused(Exception):
    """The kernel would have answered with an errno."""


class KernelModel:
    """Holds items; :meth:`carry_out` is strict, the rest is what anybody may do to a machine."""

    def __init__(self, items: Items) -> None:
        self.items: dict[Key, Item] = dict(items)

    def carry_out(self, operation: Operation) -> None:
        """Do as an operation says. Raises Refused for what makes no sense now."""
        item = operation.item
        match operation:
            case Remove():
                if item.key not in self.items:
                    raise Refused(f"{item} is not there")
                self.remove(item.key)
            case Add():
                if item.key in self.items:
                    raise Refused(f"{item} is there already")
                self._place(item)
                self._add(item)
            case Set():
                if item.key not in self.items:
                    raise Refused(f"{item} is not there")
                self._place(item)
                self._set(item, self.items[item.key])

    def remove(self, key: Key) -> None:
        """Take something away, and what the kernel takes with it."""
        item = self.items.pop(key, None)
        match item:
            case Namespace(name=ns):
                for link in [i for i in self.items.values() if isinstance(i, Bridge | Veth | Vxlan) and i.ns == ns]:
                    self.remove(link.key)
                self.items = {k: i for k, i in self.items.items() if i.ns != ns}
            case Bridge() | Veth() | Vxlan():
                self._remove_link(item)
            case Address(ns=ns, link=link, address=text) if ":" not in text:
                if not any(isinstance(i, Address) and ":" not in i.address for i in self._on(ns, link)):
                    for entry in self._on(ns, link):
                        gone = isinstance(entry, Route) and ":" not in entry.dst
                        if gone or (isinstance(entry, Neighbour) and ":" not in entry.ip):
                            del self.items[entry.key]

    def _remove_link(self, link: Link) -> None:
        for entry in self._on(link.ns, link.name):
            del self.items[entry.key]
        if isinstance(link, Veth):
            self.remove(link.peer_key)
        for port in list(self.items.values()):
            if isinstance(port, Stray) and (port.ns, port.master) == (link.ns, link.name):
                del self.items[port.key]
            if isinstance(port, Veth | Vxlan) and (port.ns, port.master) == (link.ns, link.name):
                self.items[port.key] = replace(port, master=None)

    def _on(self, ns: str, link: str) -> list[Address | Route | Neighbour | FdbEntry | Sysctl]:
        entries = (i for i in self.items.values() if isinstance(i, Address | Route | Neighbour | FdbEntry | Sysctl))
        return [entry for entry in entries if (entry.ns, entry.link) == (ns, link)]

    def _place(self, item: Item) -> None:
        """Refuse what has no place to be in."""
        spaces = [item.ns, *([item.peer_ns] if isinstance(item, Veth) else [])]
        for ns in spaces:
            if not isinstance(item, Namespace) and ns != HOST and ("netns", ns) not in self.items:
                raise Refused(f"{item}: no namespace {ns}")
        if isinstance(item, Address | Route | Neighbour | FdbEntry | Sysctl) and item.link is not None:
            if ("link", item.ns, item.link) not in self.items:
                raise Refused(f"{item}: no link")
        if isinstance(item, Route) and not any(
            isinstance(i, Address) and (":" in i.address) == (":" in item.dst) for i in self._on(item.ns, item.link)
        ):
            raise Refused(f"{item}: the gateway cannot be reached")

    def _add(self, item: Item) -> None:
        match item:
            case Veth():
                if item.peer_key in self.items:
                    raise Refused(f"{item}: the other end's name is taken")
                self.items[item.key] = Veth(
                    item.ns, item.name, item.peer_ns, item.peer_name, item.mtu, item.mac or "any", ""
                )
                self.items[item.peer_key] = Veth(item.peer_ns, item.peer_name, item.ns, item.name, item.mtu, "any", "")
            case Bridge():
                self.items[item.key] = replace(item, mac=item.mac or "any", alias="")
            case Vxlan():
                if any(isinstance(i, Vxlan) and i.vni == item.vni for i in self.items.values()):
                    raise Refused(f"{item}: the VNI is taken")
                self.items[item.key] = replace(item, alias="", master=None)
            case _:
                self.items[item.key] = item

    def _set(self, item: Item, found: Item) -> None:
        match item:
            case Address() | Rule():
                raise Refused(f"{item} has nothing to set")
            case Bridge() | Veth() | Vxlan():
                if not same_device(item, found):
                    raise Refused(f"{item} is another device than {found}")
                master = None if isinstance(item, Bridge) else item.master
                if master is not None and not isinstance(self.items.get(("link", item.ns, master)), Bridge):
                    raise Refused(f"{item}: no such bridge")
                if isinstance(item, Bridge | Veth) and item.mac is None:
                    assert isinstance(found, Bridge | Veth)
                    item = replace(item, mac=found.mac)
                self.items[item.key] = item
            case Table() | Route() | Neighbour() | FdbEntry() | Namespace() | Sysctl():
                self.items[item.key] = item
