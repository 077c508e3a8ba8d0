"""What the benchmarks print: tables in Markdown, and the machine they ran on. Standard library only."""

import os
import platform
import re


def table(rows):
    """Rows of cells, the first one the heads, as a table. The first column stands to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.rjust(width) if column else cell.ljust(width)
                               for column, (cell, width) in enumerate(zip(row, widths))) + " |" for row in rows]
    lines.insert(1, "|" + "|".join(("-" * (width + 1) + ":") if column else "-" * (width + 2)
                                   for column, width in enumerate(widths)) + "|")
    return "\n".join(lines)


def machine():
    """Processor, memory and kernel of this machine."""
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        model = re.search(r"^model name\s*: (.*)$", text.read(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{model.group(1) if model else platform.processor()}, {os.cpu_count()} processors, {memory:.0f} GiB, "
            f"Linux {platform.release()}")
