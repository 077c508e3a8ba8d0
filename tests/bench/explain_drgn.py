"""What drgn is measured with: the end of the log, the stacks of all CPUs, the tasks, the modules.

Needs: drgn, which runs it. Gives the same as text on the standard output.
"""

from drgn.helpers.linux.cpumask import for_each_online_cpu
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.printk import get_printk_records
from drgn.helpers.linux.sched import cpu_curr, task_state_to_char

for record in get_printk_records(prog)[-30:]:  # noqa: F821 (drgn gives it)
    print(record.timestamp, record.text.decode("utf-8", "replace"))
for cpu in for_each_online_cpu(prog):  # noqa: F821
    print("CPU", cpu, cpu_curr(prog, cpu).comm.string_().decode())  # noqa: F821
for thread in prog.threads():  # noqa: F821
    if int(thread.object.on_cpu):
        try:
            print(thread.stack_trace())
        except Exception as error:  # what it cannot unwind costs it no more than that
            print(error)
for task in for_each_task(prog):  # noqa: F821
    print(task.pid.value_(), task_state_to_char(task), task.comm.string_().decode("utf-8", "replace"))
for module in list_for_each_entry("struct module", prog["modules"].address_of_(), "list"):  # noqa: F821
    print(module.name.string_().decode())
