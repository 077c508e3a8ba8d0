"""Compares every structure, union and enumeration of BTF with what gdb makes of the file's DWARF.

VMLINUX is the file: its .rodata has the BTF of the kernel."""

import json
import struct

import gdb

# Data behind the first 12 bytes of a type, by kind: once, and for each member.
ONCE = {1: 4, 3: 12, 14: 4, 17: 4}
EACH = {4: 12, 5: 12, 15: 12, 19: 12, 6: 8, 13: 8}
KINDS = {4: "struct", 5: "union", 6: "enum"}

with open(VMLINUX, "rb") as file:
    data = file.read()
at = -1
while True:
    at = data.find(b"\x9f\xeb\x01\x00", at + 1)
    assert at >= 0, "no BTF in the file"
    _, head, type_at, type_length, text_at, text_length = struct.unpack_from("<6I", data, at)
    if 20 < head < 64 and type_length > 200000 and text_length > 50000:
        break
types, texts = at + head + type_at, at + head + text_at


def text(offset):
    return data[texts + offset : data.index(b"\0", texts + offset)].decode()


def signed(value, bits):
    return value - (1 << bits) if value >> (bits - 1) else value


wanted = {}
at = types
while at < types + type_length:
    name, info, size = struct.unpack_from("<3I", data, at)
    kind, count, flag = info >> 24 & 0x7F, info & 0xFFFFFF, info >> 31
    body = at + 12 + ONCE.get(kind, 0)
    parts = []
    for number in range(count):
        if kind in (4, 5):
            name_at, _, offset = struct.unpack_from("<3I", data, body + 12 * number)
            bits = offset >> 24 if flag else 0
            parts.append((text(name_at), offset & 0xFFFFFF if flag else offset, bits))
        elif kind == 6:
            name_at, value = struct.unpack_from("<2I", data, body + 8 * number)
            parts.append((text(name_at), signed(value, 32) if flag else value))
        elif kind == 19:
            name_at, low, high = struct.unpack_from("<3I", data, body + 12 * number)
            value = high << 32 | low
            parts.append((text(name_at), signed(value, 64) if flag else value))
    kind = 6 if kind == 19 else kind
    if kind in KINDS and name:
        wanted.setdefault((kind, text(name)), []).append((size, parts))
    at = body + EACH.get(info >> 24 & 0x7F, 0) * count

compared = members = 0
differences = []
for (kind, name), all_of_name in wanted.items():
    try:
        found = gdb.lookup_type(f"{KINDS[kind]} {name}")
    except gdb.error as error:
        # Of a structure and a union of one name, gdb finds one.
        if not any(other != kind and one == name for other, one in wanted):
            differences.append([name, str(error)])
        continue
    if kind == 6:
        # gdb has values of 64 bits with a sign, whatever the file says.
        parts = [(field.name, field.enumval % 2**64) for field in found.fields()]
        all_of_name = [(size, [(one, value % 2**64) for one, value in all]) for size, all in all_of_name]
    else:
        parts = [(field.name or "", field.bitpos, field.bitsize) for field in found.fields()]
    if (found.sizeof, parts) in all_of_name:
        compared += 1
        members += len(parts)
    else:
        differences.append([name, found.sizeof, parts[:4], all_of_name[0]])
print("TYPES " + json.dumps({"compared": compared, "members": members, "differences": differences[:10]}))
