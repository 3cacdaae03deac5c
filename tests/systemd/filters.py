"""The filters of system calls that systemd makes of a unit (seccomp-util.c), by libseccomp.

`filters.py UNIT COMMAND…` replaces itself by the command, under the filters of the unit.
"""

import ctypes
import errno
import functools
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
MASKED_EQUAL = 7
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
# Denied calls whose failure is expected: m3a3 and, for root, SQLite give new files the owner of the database.
EXPECTED = ["fchown"]
# CLONE_NEWTIME is missing: its bit is part of the exit signal of clone(2).
NAMESPACES = {
    "NEWNS": 0x20000,
    "NEWCGROUP": 0x2000000,
    "NEWUTS": 0x4000000,
    "NEWIPC": 0x8000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
}


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
library.seccomp_init.restype = ctypes.c_void_p
library.seccomp_init.argtypes = [ctypes.c_uint32]
library.seccomp_rule_add_array.argtypes = [
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.POINTER(Comparison),
]
library.seccomp_load.argtypes = [ctypes.c_void_p]


def settings(path):
    """The settings of the section [Service]; a key may have several values."""
    found = {}
    section = path.read_text().split("\n[Service]\n")[1].split("\n[")[0]
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", section, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@functools.cache
def members(name):
    """The system calls of a set such as @file-system, and of the sets in it."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
    names = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return set().union(*(members(member) for member in names if member and not member.startswith("#")))


def allowed(values):
    """The system calls of an allow list; systemd adds @default to it."""
    calls = members("@default")
    for value in values:
        named = set().union(*(members(name) for name in value.removeprefix("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def denied(error):
    return 0x00050000 | error


def rules(service):
    """Each filter: its default action, and its rules of an action, a call and comparisons of arguments."""
    calls = allowed(service["SystemCallFilter"])
    expected = [(denied(errno.EPERM), call, []) for call in EXPECTED if call not in calls]
    filters = [(KILL_PROCESS, [(ALLOW, call, []) for call in sorted(calls)] + expected)]
    families = service["RestrictAddressFamilies"][-1].split()
    # A rule is a conjunction that compares an argument once, so each other family has a rule.
    others = [number for number in range(46) if number not in {getattr(socket, family) for family in families}]
    unsupported = denied(errno.EAFNOSUPPORT)
    filters.append((ALLOW, [(unsupported, "socket", [(0, MASKED_EQUAL, 0xFFFFFFFF, number)]) for number in others]))
    denials = []
    if "true" in service.get("MemoryDenyWriteExecute", []):
        both = PROT_WRITE | PROT_EXEC
        denials += [
            (denied(errno.EPERM), "mmap", [(2, MASKED_EQUAL, both, both)]),
            (denied(errno.EPERM), "mprotect", [(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC)]),
            (denied(errno.EPERM), "pkey_mprotect", [(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC)]),
            (denied(errno.EPERM), "shmat", [(2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC)]),
        ]
    if "true" in service.get("RestrictNamespaces", []):
        denials += [(denied(errno.ENOSYS), "clone3", []), (denied(errno.EPERM), "setns", [])]
        for flag in NAMESPACES.values():
            denials += [(denied(errno.EPERM), call, [(0, MASKED_EQUAL, flag, flag)]) for call in ("unshare", "clone")]
    if "true" in service.get("RestrictSUIDSGID", []):
        denials.append((denied(errno.ENOSYS), "openat2", []))
    return [*filters, (ALLOW, denials)]


def restrict(service):
    """Restricts this process for good."""
    filters = [compiled(default, listed) for default, listed in rules(service)]
    # The allow list is the last one, since it does not allow to load another.
    for filter in reversed(filters):
        code = library.seccomp_load(filter)
        if code != 0:
            raise OSError(-code, "the kernel refuses a filter")


def compiled(default, listed):
    context = library.seccomp_init(default)
    for action, name, comparisons in listed:
        call = library.seccomp_syscall_resolve_name(name.encode())
        if call < 0:
            # Of another architecture, or newer than the library.
            continue
        array = (Comparison * len(comparisons))(*(Comparison(*comparison) for comparison in comparisons))
        code = library.seccomp_rule_add_array(context, action, call, len(comparisons), array)
        if code != 0:
            raise OSError(-code, f"no rule for {name}")
    return context


if __name__ == "__main__":
    restrict(settings(Path(sys.argv[1])))
    os.execv(sys.argv[2], sys.argv[2:])
