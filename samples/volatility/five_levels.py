"""volatility3 on guests of Linux whose page tables have five levels, of which it knows four.

    vmcorectl debug latest --with volatility -- -p samples/volatility linux.pslist
    vol -p samples/volatility -s DIR -f core.elf linux.pslist

Guests with four levels are read as before. Tried with volatility3 2.28.

volatility3's licence, the Volatility Software License 1.0 (https://www.volatilityfoundation.org/license/vsl-v1.0), wants
what is built with it to be published under it: this file is, beside the licences of the project."""

from volatility3.framework.automagic.linux import LinuxIntelStacker
from volatility3.framework.layers.intel import LinuxIntel32e

# Where an entry of a table has an address.
ADDRESS = 0x000F_FFFF_FFFF_F000
# The first table's entry for the kernel's own code and data, the last one.
LAST = 511 * 8


class FiveLevels(LinuxIntel32e):
    """Memory as such page tables map it."""

    _maxphyaddr = 52
    _maxvirtaddr = 57
    _structure = [("page map layer 5", 9, False), *LinuxIntel32e._structure]


class FiveLevelsStacker(LinuxIntelStacker):
    """Takes five levels where the kernel's first table leads to its `level4_kernel_pgt`."""

    # Before the one of volatility3.
    stack_order = LinuxIntelStacker.stack_order - 1

    @classmethod
    def stack(cls, context, layer_name, progress_callback=None):
        known = set(context.symbol_space)
        layer = super().stack(context, layer_name, progress_callback)
        if layer is None:
            return None
        first = layer.config["page_map_offset"]
        for name in set(context.symbol_space) - known:
            table = context.symbol_space[name]
            if not {"level4_kernel_pgt", "init_top_pgt"} <= set(table.symbols):
                continue
            at = [table.get_symbol(symbol).address for symbol in ("level4_kernel_pgt", "init_top_pgt")]
            entry = context.layers[layer_name].read(first + LAST, 8)
            if int.from_bytes(entry, "little") & ADDRESS == first + at[0] - at[1]:
                return FiveLevels(context, config_path=layer.config_path, name=layer.name, metadata={"os": "Linux"})
        return layer
