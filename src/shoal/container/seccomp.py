"""The default filter of system calls, in our own words: everything is allowed but what is listed here. Pure.

What is listed changes the machine, reaches past the container, or is a wide way into the kernel that programs in
containers do not need. Most of it is bound to a capability, as in Docker: who has that may call it. A call that is
refused answers EPERM; ``clone3`` answers ENOSYS, because its flags lie in memory, where a filter cannot look, and libc
then takes ``clone``, whose flags it can see. Names that an architecture or a libseccomp does not know are passed over
by runc.
"""

from collections.abc import Collection

from shoal.container import oci

ENOSYS = 38
AF_VSOCK = 40

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}

_NEVER = (
    "_sysctl add_key bdflush create_module get_kernel_syms io_uring_enter io_uring_register io_uring_setup "
    "kexec_file_load kexec_load keyctl move_pages nfsservctl pivot_root query_module request_key swapoff swapon sysfs "
    "uselib userfaultfd ustat vm86 vm86old"
)

_UNLESS: dict[tuple[str, ...], str] = {
    ("CAP_DAC_READ_SEARCH",): "open_by_handle_at",
    ("CAP_SYS_ADMIN",): "clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
    "move_mount open_tree quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare",
    ("CAP_SYS_ADMIN", "CAP_BPF"): "bpf",
    ("CAP_SYS_ADMIN", "CAP_PERFMON"): "perf_event_open",
    ("CAP_SYS_ADMIN", "CAP_SYSLOG"): "syslog",
    ("CAP_SYS_BOOT",): "reboot",
    ("CAP_SYS_CHROOT",): "chroot",
    ("CAP_SYS_MODULE",): "delete_module finit_module init_module",
    ("CAP_SYS_NICE",): "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ("CAP_SYS_PACCT",): "acct",
    ("CAP_SYS_PTRACE",): "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev",
    ("CAP_SYS_RAWIO",): "ioperm iopl",
    ("CAP_SYS_TIME",): "clock_settime clock_settime64 settimeofday stime",
    ("CAP_SYS_TTY_CONFIG",): "vhangup",
}

# CLONE_NEWTIME shares its bit with the exit signal in clone, and cannot be asked for there.
_CLONE_NEW = {
    "NEWNS": 0x00020000,
    "NEWCGROUP": 0x02000000,
    "NEWUTS": 0x04000000,
    "NEWIPC": 0x08000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
}


def default_filter(capabilities: Collection[str], machine: str) -> oci.Seccomp:
    """The filter for a process with these capabilities (``CAP_…``) on ``machine`` (as uname(2) says)."""
    refused = _NEVER.split()
    for any_of, names in _UNLESS.items():
        if not any(name in capabilities for name in any_of):
            refused += names.split()
    rules = [_refuse(sorted(set(refused) - {"clone3"}))]
    if "clone3" in refused:
        rules.append(oci.SeccompRule(names=("clone3",), action="SCMP_ACT_ERRNO", errno_ret=ENOSYS))
        rules += [
            _refuse(["clone"], oci.SeccompArg(index=0, value=bit, op="SCMP_CMP_MASKED_EQ", value_two=bit))
            for bit in _CLONE_NEW.values()
        ]
    rules.append(_refuse(["socket"], oci.SeccompArg(index=0, value=AF_VSOCK, op="SCMP_CMP_EQ")))
    return oci.Seccomp(
        default_action="SCMP_ACT_ALLOW", architectures=_ARCHITECTURES.get(machine, ()), syscalls=tuple(rules)
    )


def _refuse(names: list[str], *args: oci.SeccompArg) -> oci.SeccompRule:
    return oci.SeccompRule(names=tuple(names), action="SCMP_ACT_ERRNO", args=args)
