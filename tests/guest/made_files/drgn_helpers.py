"""Calls drgn's helpers of Linux that need a program, a task or a CPU and nothing else, and
unwinds each task. Prints what each gives: its value, or its error."""

import importlib
import inspect
import itertools
import json
import logging
import os
import pkgutil
import sys
import warnings

import drgn
import drgn.helpers.linux

warnings.simplefilter("ignore")
logging.disable()
core, files = sys.argv[1], json.loads(sys.argv[2])
program = drgn.Program()
program.set_core_dump(core)
try:
    program.load_debug_info(files)
except drgn.MissingDebugInfoError:
    pass


def value(result):
    if inspect.isgenerator(result) or hasattr(result, "__next__"):
        return [value(one) for one in itertools.islice(result, 300)]
    if isinstance(result, (list, tuple)):
        return [value(one) for one in result]
    if isinstance(result, drgn.Object):
        try:
            return result.format_(dereference=False, symbolize=False)[:200]
        except Exception as error:
            return type(error).__name__
    if "object at 0x" in repr(result):
        return type(result).__name__
    return repr(result)[:300]


# What prints, changes, waits, or is of a running kernel.
LEFT_OUT = ("print_", "dump", "set", "follow_", "load", "wait", "sh", "kernel_config")
given = {}
init = drgn.helpers.linux.find_task(program, 1)
for name in sorted(dir(drgn.helpers.linux)):
    helper = getattr(drgn.helpers.linux, name)
    if not inspect.isfunction(helper) or name.startswith(LEFT_OUT):
        continue
    for label, arguments in (("prog", (program,)), ("task", (init,)), ("cpu", (program, 1))):
        try:
            inspect.signature(helper).bind(*arguments)
        except TypeError:
            continue
        try:
            given[f"{name}:{label}"] = value(helper(*arguments))
        except Exception as error:
            given[f"{name}:{label}"] = f"error: {type(error).__name__} {error}"[:120]
stacks = {}
for task in drgn.helpers.linux.for_each_task(program):
    try:
        # Inlined functions have the address of the one that they are in.
        frames = [frame.pc for frame in program.stack_trace(task)]
        stacks[task.pid.value_()] = [pc for pc, _ in itertools.groupby(frames)]
    except Exception as error:
        stacks[task.pid.value_()] = str(error)[:120]
modules = {module.name: module.debug_file_path for module in program.modules()}
print(json.dumps({"helpers": given, "stacks": stacks, "modules": modules}))
