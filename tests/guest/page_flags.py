"""page_flags.py: the class of each page, by the kernel's struct pages as its debug symbols describe them.

Called by page_judges.rs with a core and the kernel's vmlinux. Prints runs of pages: first, last, class. Knows kernels since
Linux 6.12, and no checks: what a struct page claims is taken as true.
"""

import struct
import sys

import drgn

core, vmlinux = sys.argv[1:]
program = drgn.Program()
program.set_core_dump(core)
program.load_debug_info([vmlinux])

PAGE = program.type("struct page")
SIZE = PAGE.size
BASE = program["vmemmap_base"].value_()


def offset(field):
    """Where a field is, which may be within unnamed unions."""
    return drgn.offsetof(PAGE, field)


def flag(name):
    return 1 << program.constant(name).value_()


FLAGS, MAPPING, PRIVATE = offset("flags"), offset("mapping"), offset("private")
TYPE = offset("page_type")
try:
    LINK = offset("compound_info")
except LookupError:
    LINK = offset("compound_head")
LRU, HEAD, PRIVATE_DATA, POISON = (flag(f"PG_{name}") for name in ("lru", "head", "private", "hwpoison"))
SWAP = flag("PG_swapbacked") | flag("PG_swapcache")
BUDDY, OFFLINE, SLAB, HUGETLB = (program.constant(f"PGTY_{name}").value_() for name in ("buddy", "offline", "slab", "hugetlb"))


class Page:
    """A struct page that was read."""

    def __init__(self, number, data):
        def word(at):
            return struct.unpack_from("<Q", data, at)[0]

        self.number = number
        self.flags, self.mapping, self.private, self.link = word(FLAGS), word(MAPPING), word(PRIVATE), word(LINK)
        self.type = struct.unpack_from("<I", data, TYPE)[0] >> 24

    def head(self):
        """The number of its compound page's head."""
        value = self.link & ~1
        inverse = ~value & 0xFFFF_FFFF_FFFF_FFFF
        own = BASE + self.number * SIZE
        at = own & value if inverse & inverse + 1 == 0 else value
        return (at - BASE) // SIZE

    def kind(self):
        if self.type == SLAB:
            return None
        if self.mapping & 1:
            return "user"
        if self.flags & LRU or self.flags & SWAP == SWAP:
            return "cache-private" if self.flags & PRIVATE_DATA else "cache"
        if self.flags & HEAD and self.type == HUGETLB:
            return "user"
        return "offline" if self.type == OFFLINE else None


def pages():
    """Each page of memory that has a struct page."""
    for segment in segments():
        for first in range(segment[0], segment[1], 512):
            count = min(512, segment[1] - first)
            try:
                data = program.read(BASE + first * SIZE, count * SIZE)
            except drgn.FaultError:
                continue
            for index in range(count):
                yield Page(first + index, data[index * SIZE:(index + 1) * SIZE])


def segments():
    """The core's memory, as numbers of pages: of the first one, and behind the last."""
    with open(core, "rb") as file:
        head = file.read(64)
        table, = struct.unpack_from("<Q", head, 32)
        count, = struct.unpack_from("<H", head, 56)
        file.seek(table)
        for _ in range(count):
            entry = file.read(56)
            kind, = struct.unpack_from("<I", entry)
            address, size = struct.unpack_from("<QQ", entry, 24)
            if kind == 1:
                yield address // 4096, (address + size) // 4096


def main():
    heads, free_until = {}, 0
    runs = []
    for page in pages():
        if page.number < free_until:
            found = "free"
        elif page.link & 1:
            found = heads.get(page.head())
        elif page.type == BUDDY:
            free_until, found = page.number + (1 << page.private), "free"
        else:
            poisoned = page.flags & HEAD and page.flags & POISON
            found = heads[page.number] = "poison" if poisoned else page.kind()
        if page.flags & POISON:
            found = "poison"
        if runs and runs[-1][2] == found and runs[-1][1] + 1 == page.number:
            runs[-1][1] = page.number
        else:
            runs.append([page.number, page.number, found])
    for first, last, found in runs:
        if found:
            print(first, last, found)


main()
