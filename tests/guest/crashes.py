"""What drgn says of a crashed guest: core, and the folder of the guest's vmlinux and crasher.ko."""

import itertools
import json
import os
import sys

import drgn
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import task_state_to_char

program = drgn.Program()
program.set_core_dump(sys.argv[1])
files = [os.path.join(sys.argv[2], name) for name in ("vmlinux", "crasher.ko")]
try:
    program.load_debug_info([name for name in files if os.path.exists(name)])
except drgn.MissingDebugInfoError:
    pass


def line(frame):
    """Function, file and line; none where the debug symbols have none, and no function in assembler."""
    try:
        file, number = frame.source()[:2]
        return [[frame.function_name, os.path.normpath(file), number]]
    except LookupError:
        return []


stack = []
lines = []
for frame in program.crashed_thread().stack_trace():
    if frame.pc < 1 << 63:
        # User code; or a null pointer that was called, which has more of the kernel below it.
        if frame.pc < 1 << 12:
            stack.append((frame.pc, "", []))
            continue
        break
    lines += line(frame)
    if not frame.is_inline:
        # drgn does not look up what called a null pointer at minus one: the line may be the next one.
        behind_null = stack and stack[-1][0] < 1 << 12
        stack.append((frame.pc, frame.name, None if behind_null else lines))
        lines = []

# The pids of blocked tasks, by their stacks.
blocked = {}
for task in for_each_task(program):
    if task_state_to_char(task) == "D" and not task.on_cpu:
        frames = [frame.pc for frame in program.stack_trace(task) if not frame.is_inline]
        # What follows the entry into the kernel is a program's, or nothing's.
        addresses = tuple(itertools.takewhile(lambda pc: pc >= 0xffff << 48, frames))
        blocked.setdefault(addresses, []).append(task.pid.value_())

hertz = 250
print(json.dumps({
    "stack": stack,
    "blocked": list(blocked.items()),
    "modules": [module.name.string_().decode()
                for module in list_for_each_entry("struct module", program["modules"].address_of_(), "list")],
    "command_line": program["saved_command_line"].string_().decode().rstrip("\n"),
    "taint": program["tainted_mask"].value_(),
    "uptime": (program["jiffies_64"].value_() - (-300 * hertz & 0xffffffff)) / hertz,
}))
