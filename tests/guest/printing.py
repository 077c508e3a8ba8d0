"""Compares what `print --json` gave with drgn's objects, member by member."""

import json
import sys

import drgn
from drgn import Object, TypeKind

with open(sys.argv[2]) as file:
    given = json.load(file)
program = drgn.Program()
program.set_core_dump(sys.argv[1])
try:
    program.load_debug_info([given["vmlinux"]])
except drgn.MissingDebugInfoError:
    pass

compared = 0
differences = []


def plain(type):
    while type.kind == TypeKind.TYPEDEF:
        type = type.type
    return type


def number(value):
    if isinstance(value, dict):
        value = value.get("pointer", value.get("number"))
    return int(value, 16) if isinstance(value, str) else int(value)


def names(type):
    for member in type.members:
        if member.name is None:
            yield from names(plain(member.type))
        else:
            yield member.name


def compare(ours, theirs, path):
    global compared
    type = plain(theirs.type_)
    try:
        if type.kind in (TypeKind.STRUCT, TypeKind.UNION, TypeKind.CLASS):
            for name in names(type):
                compare(ours[name], theirs.member_(name), f"{path}.{name}")
            return
        if type.kind == TypeKind.ARRAY:
            if plain(type.type).kind == TypeKind.INT and plain(type.type).name == "char":
                if isinstance(ours, dict) and "elements" in ours:
                    return
                text = ours["text"] if isinstance(ours, dict) else ours
                whole = theirs.string_().decode(errors="replace")[: type.length or 0]
                same = whole.startswith(text) and (isinstance(ours, dict) or whole == text)
                if not same:
                    differences.append([path, ours, whole])
                compared += 1
                return
            elements = ours["elements"] if isinstance(ours, dict) else ours
            for index, element in enumerate(elements):
                compare(element, theirs[index], f"{path}[{index}]")
            return
        value = theirs.value_()
    except (KeyError, TypeError, LookupError) as error:
        differences.append([path, str(ours)[:200], repr(error)])
        return
    except drgn.FaultError as error:
        if not (isinstance(ours, dict) and "unreadable" in ours):
            differences.append([path, ours, str(error)])
        return
    try:
        mine = number(ours)
    except (TypeError, ValueError) as error:
        differences.append([path, ours, value])
        return
    if mine != int(value):
        differences.append([path, ours, int(value)])
    compared += 1


for index, printed in given["printed"]:
    for one in printed["objects"]:
        address = int(one["address"], 16)
        type = printed["type"]
        try:
            compare(one["value"], Object(program, type, address=address), f"{type} {address:#x}")
        except Exception as error:
            differences.append([type, one["address"], repr(error)])

print(json.dumps({"compared": compared, "differences": differences[:30]}))
