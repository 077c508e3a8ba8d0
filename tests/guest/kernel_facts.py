"""What drgn says of a guest's system: core, and the guest's vmlinux."""

import json
import sys

import drgn
from drgn.helpers.linux.fs import for_each_mount, mount_dst, mount_fstype, mount_src
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import task_cpu, task_state_to_char

program = drgn.Program()
program.set_core_dump(sys.argv[1])
try:
    program.load_debug_info([sys.argv[2]])
except drgn.MissingDebugInfoError:
    pass


def text(value):
    return value.string_().decode()


def module(value):
    try:
        parts = [(part.base.value_(), part.size.value_()) for part in value.mem]
    except AttributeError:
        parts = [(part.base.value_(), part.size.value_()) for part in (value.core_layout, value.init_layout)]
    parts = [part for part in parts if part[1]]
    return text(value.name), hex(parts[0][0]), sum(size for _, size in parts)


def read_only(mount):
    # MNT_READONLY and SB_RDONLY
    return mount.mnt.mnt_flags.value_() & 0x40 or mount.mnt.mnt_sb.s_flags.value_() & 1


hertz = 250
uts = program["init_uts_ns"].name
block_devices = list_for_each_entry("struct inode", program["blockdev_superblock"].s_inodes.address_of_(), "i_sb_list")
print(json.dumps({
    "tasks": [
        [task.pid.value_(), task.tgid.value_(), task.real_parent.tgid.value_(), task_state_to_char(task),
         task_cpu(task), text(task.comm)]
        for task in for_each_task(program)
    ],
    "modules": [
        module(value)
        for value in list_for_each_entry("struct module", program["modules"].address_of_(), "list")
    ],
    "mounts": [
        [text(mount.mnt_devname), mount_dst(mount).decode(), mount_fstype(mount).decode(),
         "ro" if read_only(mount) else "rw"]
        for mount in for_each_mount(program)
    ],
    "buffers": 4096 * sum(inode.i_mapping.nrpages.value_() for inode in block_devices),
    "command_line": text(program["saved_command_line"]).rstrip(),
    "taint": program["tainted_mask"].value_(),
    "uname": [text(value) for value in (uts.sysname, uts.nodename, uts.release, uts.version, uts.machine)],
    "uptime": (program["jiffies_64"].value_() - (-300 * hertz & 0xffffffff)) / hertz,
}))
