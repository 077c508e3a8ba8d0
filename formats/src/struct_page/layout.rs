//! Where the fields of a struct page are, and which values mean what, as VMCOREINFO has it.

use thiserror::Error;

use crate::vmcoreinfo::VmcoreInfo;

/// The sizes that a struct page has had, and some reserve, in bytes.
const SIZES: std::ops::RangeInclusive<u64> = 40..=256;
/// The most orders of free blocks.
const MAX_ORDERS: u64 = 32;

/// Why struct pages cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A key that is needed is not there.
    #[error("VMCOREINFO has no {key}, which is needed to tell the classes of pages")]
    NotSaid {
        /// The key.
        key: String,
    },
    /// A value that no kernel has.
    #[error("VMCOREINFO has {key}={value:#x}, which no kernel has")]
    Impossible {
        /// The key.
        key: String,
        /// Its value.
        value: u64,
    },
}

/// A value of `page_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageType(u32);

impl PageType {
    /// Whether a page is of this type.
    ///
    /// Since Linux 6.12 ("mm: support only one `page_type` per page") the top byte has the type, and
    /// the other bits are the owner's. makedumpfile compares all bits, and keeps a free block whose
    /// low bits are in use.
    pub(super) fn is(self, page_type: u32) -> bool {
        if self.0 & 0xff_ffff == 0 { page_type >> 24 == self.0 >> 24 } else { page_type == self.0 }
    }

    /// The type, as it is in a struct page.
    #[cfg(test)]
    pub(super) fn value(self) -> u32 {
        self.0
    }
}

/// Where the order of a compound page is, and how one of hugetlbfs is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompoundSource {
    /// Order in the flags of page 1; hugetlb is a page type ("mm: turn `folio_test_hugetlb` into a
    /// `PageType`", in v6.9).
    HugetlbType(PageType),
    /// Order in the flags of page 1; hugetlb is a flag there (v6.6 to v6.8).
    HugetlbFlag(u64),
    /// Order and destructor are bytes of page 1 (before v6.6).
    Bytes {
        /// Offset of the order.
        order: usize,
        /// Offset of the destructor, and its number for hugetlb.
        huge: Option<(usize, u8)>,
    },
}

/// The layout of a kernel's struct pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageLayout {
    pub(super) size: usize,
    pub(super) page_size: u64,
    pub(super) flags: usize,
    pub(super) link: usize,
    pub(super) lru: usize,
    pub(super) mapping: usize,
    pub(super) private: usize,
    pub(super) mapcount: usize,
    pub(super) refcount: usize,
    pub(super) pg_lru: u64,
    pub(super) pg_private: u64,
    pub(super) pg_reserved: u64,
    pub(super) pg_swapcache: u64,
    pub(super) pg_swapbacked: u64,
    pub(super) pg_unevictable: u64,
    pub(super) pg_head: u64,
    /// Before v6.10 ("mm: free up `PG_slab`") alone.
    pub(super) pg_slab: u64,
    /// With `CONFIG_MEMORY_FAILURE` alone.
    pub(super) pg_hwpoison: u64,
    pub(super) slab: Option<PageType>,
    pub(super) buddy: PageType,
    pub(super) offline: Option<PageType>,
    pub(super) unaccepted: Option<PageType>,
    pub(super) compound: CompoundSource,
    /// Free blocks have orders below this.
    pub(super) orders: u32,
}

impl PageLayout {
    /// The layout that VMCOREINFO describes.
    ///
    /// # Errors
    /// Fails if it lacks a key, or has a value that cannot be one.
    pub fn of(info: &VmcoreInfo) -> Result<Self, LayoutError> {
        let keys = Keys(info);
        let size = keys.size()?;
        let field = |name, width| keys.field(name, width, size);
        let link = match keys.has_offset("page.compound_info") {
            true => field("page.compound_info", 8)?,
            false => field("page.compound_head", 8)?,
        };
        let lru = field("page.lru", 16)?;
        // Not in VMCOREINFO, but neighbours of flags that are, in all versions: reserved before
        // private, unevictable after swapbacked.
        let (private, swapbacked) = (keys.flag("PG_private")?, keys.flag("PG_swapbacked")?);
        let orders = keys.number_of("LENGTH(zone.free_area)", info.length("zone.free_area"))?;
        let layout = Self {
            size: usize::try_from(size).unwrap_or_default(),
            page_size: keys.number_of("PAGESIZE", info.page_size())?,
            flags: field("page.flags", 8)?,
            link,
            lru,
            mapping: field("page.mapping", 8)?,
            private: field("page.private", 8)?,
            mapcount: field("page._mapcount", 4)?,
            refcount: field("page._refcount", 4)?,
            pg_lru: keys.flag("PG_lru")?,
            pg_private: private,
            pg_reserved: private >> 1,
            pg_swapcache: keys.flag("PG_swapcache")?,
            pg_swapbacked: swapbacked,
            pg_unevictable: swapbacked << 1,
            pg_head: keys.head()?,
            pg_slab: keys.optional_flag("PG_slab")?,
            pg_hwpoison: keys.optional_flag("PG_hwpoison")?,
            slab: keys.page_type("PAGE_SLAB_MAPCOUNT_VALUE")?,
            buddy: keys
                .page_type("PAGE_BUDDY_MAPCOUNT_VALUE")?
                .ok_or_else(|| not_said("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"))?,
            offline: keys.page_type("PAGE_OFFLINE_MAPCOUNT_VALUE")?,
            unaccepted: keys.page_type("PAGE_UNACCEPTED_MAPCOUNT_VALUE")?,
            compound: keys.compound(size)?,
            orders: u32::try_from(orders)
                .ok()
                .filter(|_| (1..=MAX_ORDERS).contains(&orders))
                .ok_or_else(|| impossible("LENGTH(zone.free_area)", orders))?,
        };
        layout.check_fields()?;
        Ok(layout)
    }

    /// Checks that no two fields overlap which are apart in every kernel. The flags are the first:
    /// each check of a class relies on them.
    fn check_fields(&self) -> Result<(), LayoutError> {
        let fields = [
            ("OFFSET(page.flags)", self.flags, 8),
            ("OFFSET(page.lru)", self.lru, 16),
            ("OFFSET(page.mapping)", self.mapping, 8),
            ("OFFSET(page.private)", self.private, 8),
            ("OFFSET(page._mapcount)", self.mapcount, 4),
            ("OFFSET(page._refcount)", self.refcount, 4),
        ];
        if self.flags != 0 {
            return Err(impossible("OFFSET(page.flags)", self.flags as u64));
        }
        for (number, (key, at, width)) in fields.into_iter().enumerate() {
            let overlaps = |(_, other, length): &(&str, usize, usize)| {
                at < other.saturating_add(*length) && *other < at.saturating_add(width)
            };
            if fields.iter().take(number).any(overlaps) {
                return Err(impossible(key, at as u64));
            }
        }
        Ok(())
    }

    /// How many bytes a struct page has.
    pub fn struct_page_size(&self) -> usize {
        self.size
    }

    /// How many bytes a page of memory has.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// The bits of the flags that are derived from others: their names in `enum pageflags`, and
    /// their numbers.
    pub fn derived_flags(&self) -> [(&'static str, u32); 2] {
        [
            ("PG_reserved", self.pg_reserved.trailing_zeros()),
            ("PG_unevictable", self.pg_unevictable.trailing_zeros()),
        ]
    }
}

fn not_said(key: &str) -> LayoutError {
    LayoutError::NotSaid { key: key.to_owned() }
}

fn impossible(key: &str, value: u64) -> LayoutError {
    LayoutError::Impossible { key: key.to_owned(), value }
}

/// VMCOREINFO, whose values are checked.
struct Keys<'i>(&'i VmcoreInfo);

impl Keys<'_> {
    fn number_of(&self, key: &str, value: Option<u64>) -> Result<u64, LayoutError> {
        value.ok_or_else(|| not_said(key))
    }

    fn size(&self) -> Result<u64, LayoutError> {
        let size = self.number_of("SIZE(page)", self.0.size("page"))?;
        let fits = SIZES.contains(&size) && size.is_multiple_of(8);
        if fits { Ok(size) } else { Err(impossible("SIZE(page)", size)) }
    }

    fn has_offset(&self, name: &str) -> bool {
        self.0.offset(name).is_some()
    }

    /// The offset of a field of this width, which is in the structure.
    fn field(&self, name: &str, width: u64, size: u64) -> Result<usize, LayoutError> {
        let key = format!("OFFSET({name})");
        let offset = self.number_of(&key, self.0.offset(name))?;
        let end = offset.checked_add(width).filter(|end| *end <= size && offset.is_multiple_of(4));
        end.and_then(|_| usize::try_from(offset).ok()).ok_or_else(|| impossible(&key, offset))
    }

    /// The mask of a flag.
    fn flag(&self, name: &str) -> Result<u64, LayoutError> {
        match self.optional_flag(name)? {
            0 => Err(not_said(&format!("NUMBER({name})"))),
            mask => Ok(mask),
        }
    }

    /// The mask of a flag, 0 if the kernel has no such flag. A neighbour on both sides is a flag,
    /// too.
    fn optional_flag(&self, name: &str) -> Result<u64, LayoutError> {
        let Some(bit) = self.0.number(name) else { return Ok(0) };
        let bit = u32::try_from(bit).ok().filter(|bit| (1..=40).contains(bit));
        let mask = bit.and_then(|bit| 1_u64.checked_shl(bit));
        mask.ok_or_else(|| {
            impossible(&format!("NUMBER({name})"), self.0.number(name).unwrap_or_default())
        })
    }

    fn head(&self) -> Result<u64, LayoutError> {
        let key = "NUMBER(PG_head_mask)";
        let mask = self.number_of(key, self.0.number("PG_head_mask"))?;
        if mask.is_power_of_two() { Ok(mask) } else { Err(impossible(key, mask)) }
    }

    /// A page type: a negative number, as no count of mappings is.
    fn page_type(&self, name: &str) -> Result<Option<PageType>, LayoutError> {
        let Some(value) = self.0.number(name) else { return Ok(None) };
        let low = u32::try_from(value & 0xffff_ffff).unwrap_or_default();
        let sign = value >> 32;
        let is_type = low >> 31 == 1 && low < u32::MAX && (sign == 0 || sign == 0xffff_ffff);
        if is_type {
            Ok(Some(PageType(low)))
        } else {
            Err(impossible(&format!("NUMBER({name})"), value))
        }
    }

    fn compound(&self, size: u64) -> Result<CompoundSource, LayoutError> {
        if let Some(hugetlb) = self.page_type("PAGE_HUGETLB_MAPCOUNT_VALUE")? {
            return Ok(CompoundSource::HugetlbType(hugetlb));
        }
        match self.optional_flag("PG_hugetlb")? {
            0 => {}
            flag => return Ok(CompoundSource::HugetlbFlag(flag)),
        }
        // `struct folio` overlays page 0 and page 1.
        let (order, dtor, first) = if self.has_offset("folio._folio_order") {
            ("folio._folio_order", "folio._folio_dtor", size)
        } else {
            ("page.compound_order", "page.compound_dtor", 0)
        };
        let byte = |name: &str| {
            let key = format!("OFFSET({name})");
            let offset = self.number_of(&key, self.0.offset(name))?;
            let inside = offset.checked_sub(first).filter(|offset| *offset < size);
            inside.and_then(|at| usize::try_from(at).ok()).ok_or_else(|| impossible(&key, offset))
        };
        let huge = match (self.has_offset(dtor), self.0.number("HUGETLB_PAGE_DTOR")) {
            (true, Some(number)) => {
                let number = u8::try_from(number)
                    .map_err(|_| impossible("NUMBER(HUGETLB_PAGE_DTOR)", number))?;
                Some((byte(dtor)?, number))
            }
            _ => None,
        };
        Ok(CompoundSource::Bytes { order: byte(order)?, huge })
    }
}
