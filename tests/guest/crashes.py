"""What drgn says of a crashed guest: core, and the folder of the guest's vmlinux and crasher.ko."""

import json
import os
import sys

import drgn
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.pid import for_each_task

program = drgn.Program()
program.set_core_dump(sys.argv[1])
files = [os.path.join(sys.argv[2], name) for name in ("vmlinux", "crasher.ko")]
try:
    program.load_debug_info([name for name in files if os.path.exists(name)])
except drgn.MissingDebugInfoError:
    pass

stack = []
for frame in program.crashed_thread().stack_trace():
    if frame.pc < 1 << 63:
        # User code; or a null pointer that was called, which has more of the kernel below it.
        if frame.pc < 1 << 12:
            stack.append((frame.pc, ""))
            continue
        break
    if not frame.is_inline:
        stack.append((frame.pc, frame.name))

hertz = 250
print(json.dumps({
    "stack": stack,
    "tasks": [(task.pid.value_(), task.comm.string_().decode()) for task in for_each_task(program)],
    "modules": [module.name.string_().decode()
                for module in list_for_each_entry("struct module", program["modules"].address_of_(), "list")],
    "command_line": program["saved_command_line"].string_().decode().rstrip("\n"),
    "taint": program["tainted_mask"].value_(),
    "uptime": (program["jiffies_64"].value_() - (-300 * hertz & 0xffffffff)) / hertz,
}))
