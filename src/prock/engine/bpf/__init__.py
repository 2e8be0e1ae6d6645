"""Records of processes by eBPF programs in the kernel (Linux 5.8, root): optional, in the module `prock._bpf`."""

from __future__ import annotations

import errno
import os

from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock._bpf import Recorder

BTF = "/sys/kernel/btf/vmlinux"
INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""The kernel's constant PROC_PID_INIT_INO. The programs see the pids of this namespace."""
RING_BYTES = 1 << 23
MOST_MEMBERS = 65536


class Unavailable(NotSupported):
    """`NotSupported`, with what would enable it."""

    _parameters = ("reason", "remedy")

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"records by eBPF ({reason}): {remedy}")
        self.reason = reason
        self.remedy = remedy


def open_recorder(*, everything: bool, ring_bytes: int = RING_BYTES, most_members: int = MOST_MEMBERS) -> Recorder:
    """Load the programs, 40 ms. Raises `Unavailable`."""
    try:
        from prock._bpf import Recorder
    except ImportError as error:
        remedy = (
            "install clang and libbpf (Debian: clang libbpf-dev libelf-dev zlib1g-dev), and prock again from source"
        )
        raise Unavailable(f"prock was built without it: {error}", remedy) from None
    if not os.path.exists(BTF):
        raise Unavailable(f"no {BTF}", "a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted")
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError as error:
        raise Unavailable(f"/proc/self/ns/pid: {error.strerror}", "mount proc at /proc") from None
    if namespace != INITIAL_PID_NAMESPACE:
        raise Unavailable(
            "prock is in a PID namespace", "run prock outside of containers, or with the host's (--pid=host)"
        )
    try:
        return Recorder(everything, ring_bytes, most_members)
    except OSError as error:
        raise Unavailable(*_reason(error)) from None


def _reason(error: OSError) -> tuple[str, str]:
    text = error.strerror or str(error)
    if error.errno in (errno.EPERM, errno.EACCES):
        remedy = "run as root (CAP_BPF, CAP_PERFMON); in a container, allow bpf(2) in the seccomp profile"
        return f"bpf(2): {text}", remedy
    if error.errno == errno.ENOMEM:
        return f"bpf(2): {text}", "free memory, or raise the memlock limit (ulimit -l)"
    return f"bpf(2): {text}", "Linux 5.8 or later with CONFIG_BPF_SYSCALL, CONFIG_BPF_EVENTS and CONFIG_DEBUG_INFO_BTF"
