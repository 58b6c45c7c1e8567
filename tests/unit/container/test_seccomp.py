"""Which system calls are refused to whom."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.container import capabilities, oci
from shoal.container.seccomp import default_filter


def refused(granted: set[str]) -> set[str]:
    return {name for rule in default_filter(granted, "x86_64").syscalls if not rule.args for name in rule.names}


def test_a_plain_container_may_not_change_the_machine() -> None:
    plain = refused(set(capabilities.DEFAULT))
    assert {"mount", "bpf", "reboot", "init_module", "setns", "unshare", "kexec_load", "keyctl", "ptrace"} - plain == {
        "ptrace"
    }
    assert not plain & {"read", "write", "execve", "clone", "socket", "chroot", "clock_gettime", "sched_setscheduler"}


def test_one_of_several_capabilities_is_enough() -> None:
    assert "bpf" not in refused({"CAP_BPF"})
    assert "bpf" not in refused({"CAP_SYS_ADMIN"})
    assert "bpf" in refused({"CAP_PERFMON"})


def test_new_namespaces_are_refused_by_their_flags() -> None:
    filter_ = default_filter((), "x86_64")
    clone = [rule for rule in filter_.syscalls if rule.names == ("clone",)]
    assert sum(rule.args[0].value for rule in clone) == 0x7E020000
    assert all(rule.args[0].value == rule.args[0].value_two for rule in clone)
    (clone3,) = (rule for rule in filter_.syscalls if rule.names == ("clone3",))
    assert clone3.errno_ret == 38
    with_admin = default_filter({"CAP_SYS_ADMIN"}, "x86_64")
    assert not [rule for rule in with_admin.syscalls if set(rule.names) & {"clone", "clone3"}]


def test_architectures() -> None:
    assert default_filter((), "aarch64").architectures == ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")
    assert default_filter((), "riscv64").architectures == ()
    assert isinstance(default_filter((), "riscv64"), oci.Seccomp)


@given(st.frozensets(st.sampled_from(capabilities.ALL)), st.frozensets(st.sampled_from(capabilities.ALL)))
def test_more_capabilities_never_refuse_more(some: frozenset[str], others: frozenset[str]) -> None:
    assert refused(set(some | others)) <= refused(set(some))
