"""Runs inside of the machine: tries what a hardened service must not be able to do, and prints what came of it.

One JSON object: the attempt -> "" where it succeeded, else the error. What succeeds is undone or does no harm.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
DELETE_MODULE = {"x86_64": 176, "aarch64": 106}
PERSONALITY_OF_32_BITS = 0x0008
ATTEMPTS: dict[str, Callable[[], object]] = {}


def attempt(name: str, *arguments: object) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Name what is tried, and with which arguments."""

    def named(action: Callable[..., object]) -> Callable[..., object]:
        ATTEMPTS[name] = partial(action, *arguments)
        return action

    return named


def in_c(function: str, *arguments: object) -> None:
    """Call a function of the C library. Raises OSError, or NotImplementedError where the kernel has none."""
    if getattr(LIBC, function)(*arguments) == -1:
        code = ctypes.get_errno()
        raise (NotImplementedError if code == errno.ENOSYS else OSError)(code, os.strerror(code))


def differs(what: str) -> None:
    """Raise, as an attempt that failed does."""
    raise PermissionError(what)


@attempt("write to /usr", "/usr")
@attempt("write to /etc", "/etc")
@attempt("write to the program", "/opt/tracker/current")
@attempt("write to /var/log", "/var/log")
@attempt("write to the kernel's control groups", "/sys/fs/cgroup")
def write(folder: str) -> None:
    """Make a folder: the one thing that control groups let one make, too."""
    Path(folder, "probe").mkdir()
    Path(folder, "probe").rmdir()


@attempt("read /home", "/home/somebody/file")
@attempt("read /root", "/root/release/probe.py")
@attempt("read /tmp of the system", "/tmp/of-the-system")
@attempt("read the key's own file", "/etc/tracker/senderin.key")
@attempt("read about the machine in /proc", "/proc/meminfo")
@attempt("read about other processes in /proc", "/proc/1/status")
def read(path: str) -> None:
    """Open a file for reading."""
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


@attempt("run a program in the state directory", "/var/lib/tracker")
@attempt("run a program in /tmp", "/tmp")
def run_what_was_written(folder: str) -> None:
    """Write a program where data belongs, and start it."""
    program = Path(folder, "program")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    try:
        subprocess.run([program], check=True)
    finally:
        program.unlink()


@attempt("make a set-user-id file")
def set_user_id() -> None:
    """Make a program that would run as its owner."""
    path = Path("/var/tmp/probe")
    path.touch()
    try:
        path.chmod(stat.S_ISUID | 0o700)
    finally:
        path.unlink()


@attempt("make a device")
def make_device() -> None:
    """Make another /dev/null."""
    os.mknod("/var/tmp/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    Path("/var/tmp/null").unlink()


@attempt("change a setting of the kernel")
def change_setting() -> None:
    """Write a setting as it is."""
    path = Path("/proc/sys/net/ipv4/ip_default_ttl")
    path.write_text(path.read_text())


@attempt("get memory that can be written and executed")
def executable_memory() -> None:
    """Ask for a page."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


@attempt("open a raw socket", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
@attempt("open a packet socket", socket.AF_PACKET, socket.SOCK_RAW, 0)
@attempt("open a netlink socket", socket.AF_NETLINK, socket.SOCK_RAW, 0)
def open_socket(family: int, kind: int, protocol: int) -> None:
    """Open a socket that reaches past TCP."""
    socket.socket(family, kind, protocol).close()


@attempt("mount something")
def mount() -> None:
    """Mount an empty file system."""
    in_c("mount", b"none", b"/mnt", b"tmpfs", 0, None)
    in_c("umount", b"/mnt")


@attempt("make a namespace of users", CLONE_NEWUSER)
@attempt("make a namespace of mounts", CLONE_NEWNS)
@attempt("make a namespace of networks", CLONE_NEWNET)
def unshare(flag: int) -> None:
    """Leave a namespace."""
    in_c("unshare", flag)


@attempt("be traced")
def trace() -> None:
    """Ask to be traced by the parent."""
    in_c("ptrace", 0, 0, None, None)


@attempt("schedule in real time")
def schedule() -> None:
    """Ask for a turn before all others."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


@attempt("change the execution domain")
def change_personality() -> None:
    """Ask to run as on 32 bits."""
    in_c("personality", PERSONALITY_OF_32_BITS)


@attempt("change the host's name")
def change_name() -> None:
    """Give the host the name that it has."""
    socket.sethostname(socket.gethostname())


@attempt("read the log of the kernel")
def read_log() -> None:
    """Ask how long it is."""
    in_c("klogctl", 10, None, 0)


@attempt("touch the clock")
def touch_clock() -> None:
    """Ask how it is adjusted, by the call that also adjusts it."""
    in_c("adjtimex", ctypes.create_string_buffer(1024))


@attempt("remove a module of the kernel")
def remove_module() -> None:
    """Remove one that is not there: whose call reaches the kernel is told that, or that it knows no modules."""
    with suppress(FileNotFoundError, NotImplementedError):
        in_c("syscall", DELETE_MODULE[platform.machine()], b"no-such-module", 0)


@attempt("become another user")
def become() -> None:
    """Change the user."""
    os.setuid(1)


@attempt("raise the own priority")
def raise_priority() -> None:
    """Ask for more than others get."""
    os.setpriority(os.PRIO_PROCESS, 0, -1)


@attempt("leave a core dump")
def dump_core() -> None:
    """Look whether memory may be written to a file after a crash."""
    limit = next(line for line in Path("/proc/self/limits").read_text().splitlines() if "core file" in line)
    if limit.split()[4:6] == ["0", "0"]:
        differs("the limit is 0")


@attempt("gain rights by executing a program")
def gain_rights() -> None:
    """Look whether a set-user-id program would be one."""
    if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        differs("no new rights")


@attempt("have a capability")
def be_capable() -> None:
    """Look whether there is anything that the process could be allowed."""
    if "CapBnd:\t0000000000000000" in Path("/proc/self/status").read_text():
        differs("none is left")


@attempt("share users with the system")
def share_users() -> None:
    """Look whether the numbers of users mean all users."""
    if "4294967295" not in Path("/proc/self/uid_map").read_text():
        differs("a few users only")


@attempt("make a file that everybody can read")
def open_file() -> None:
    """Look at the mode of a new file."""
    path = Path("/var/tmp/probe")
    path.touch()
    mode = path.stat().st_mode
    path.unlink()
    if not mode & stat.S_IROTH:
        differs("mode 640")


def came_of(action: Callable[[], object]) -> str:
    """Try something in a process of its own, for it may change the process; return the error, if any."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            action()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as end:
        told = end.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return told or (f"ended with {code}" if code else "")


sys.stdout.write(json.dumps({name: came_of(action) for name, action in ATTEMPTS.items()}))
