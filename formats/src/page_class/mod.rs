//! The classes of a guest's pages, and which of them a core leaves out.
//!
//! | class | what it is | preset |
//! |---|---|---|
//! | `zero` | nothing but zeros | `nonfree`, `kernel` |
//! | `free` | the allocator's | `nonfree`, `kernel` |
//! | `cache` | page cache without private data; tmpfs and shared memory | `kernel` |
//! | `cache-private` | page cache with private data of its file system | `kernel` |
//! | `user` | anonymous memory of programs, and huge pages | `kernel` |
//! | `offline` | given back to the host, as by a balloon | `nonfree`, `kernel` |
//!
//! A page that the hardware reported as damaged (`Poison`) has no name to choose it by: it
//! is never read. [`left_out`] is how a core records the class of each range that it lacks.
//!
//! ```
//! use vmcore_formats::page_class::{PageClass, PageClasses};
//!
//! let kernel: PageClasses = "kernel".parse()?;
//! assert!(kernel.leaves_out(PageClass::Hugetlb) && kernel.makedumpfile_level() == 31);
//! let some: PageClasses = "free,zero".parse()?;
//! assert_eq!(some.to_string(), "zero,free");
//! assert!("all".parse::<PageClasses>()?.is_empty());
//! # Ok::<_, vmcore_formats::page_class::UnknownPageClass>(())
//! ```

mod coarse;
mod dump_head;
pub mod left_out;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use left_out::{ClassRun, LeftOut};

/// What a page is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageClass {
    /// It has nothing but zeros.
    Zero,
    /// The allocator has it.
    Free,
    /// Page cache without private data, tmpfs, shared memory.
    Cache,
    /// Page cache with private data of its file system.
    CachePrivate,
    /// Anonymous memory of a program.
    User,
    /// A huge page of the pool, in use or not.
    Hugetlb,
    /// It was given back to the host, as by a balloon.
    Offline,
    /// The hardware reported it as damaged.
    Poison,
}

impl PageClass {
    /// Each class.
    pub const ALL: [Self; 8] = [
        Self::Zero,
        Self::Free,
        Self::Cache,
        Self::CachePrivate,
        Self::User,
        Self::Hugetlb,
        Self::Offline,
        Self::Poison,
    ];

    /// Its name in options and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Free => "free",
            Self::Cache => "cache",
            Self::CachePrivate => "cache-private",
            Self::User => "user",
            Self::Hugetlb => "hugetlb",
            Self::Offline => "offline",
            Self::Poison => "poison",
        }
    }

    /// Its number in [`left_out`], and its bit in a [`PageClasses`].
    fn number(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::Free => 1,
            Self::Cache => 2,
            Self::CachePrivate => 3,
            Self::User => 4,
            Self::Hugetlb => 5,
            Self::Offline => 6,
            Self::Poison => 7,
        }
    }

    fn bit(self) -> u8 {
        1_u8.wrapping_shl(u32::from(self.number()))
    }
}

impl fmt::Display for PageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The classes that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageClasses(u8);

/// A name that is no page class and no preset.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{name:?} is neither all, nonfree or kernel, nor one of the classes zero, free, cache, cache-private, user, offline"
)]
pub struct UnknownPageClass {
    /// What was found.
    pub name: String,
}

impl PageClasses {
    /// Nothing is left out.
    pub const ALL: Self = Self(0);

    /// All is kept but what no use is made of: zero, free and offline pages.
    pub fn nonfree() -> Self {
        [PageClass::Zero, PageClass::Free, PageClass::Offline].into_iter().collect()
    }

    /// The kernel's own memory is kept.
    pub fn kernel() -> Self {
        PageClass::ALL.into_iter().collect()
    }

    /// Whether nothing is left out.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether pages of `class` are left out. Poisoned ones are, unless there is nothing to
    /// leave out.
    pub fn leaves_out(self, class: PageClass) -> bool {
        match class {
            PageClass::Poison => !self.is_empty(),
            _ => self.0 & class.bit() != 0,
        }
    }

    /// These, and those.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each class that is left out.
    pub fn iter(self) -> impl Iterator<Item = PageClass> {
        PageClass::ALL.into_iter().filter(move |class| self.leaves_out(*class))
    }

    /// makedumpfile's dump level (`-d`) that leaves out no more than this. It has no bit for
    /// offline pages, which it leaves out at each level but 0.
    pub fn makedumpfile_level(self) -> u32 {
        let bit = |class, bit| if self.leaves_out(class) { bit } else { 0 };
        let cache = bit(PageClass::Cache, 2);
        // Its bit for private page cache leaves out the other, too.
        let private = if cache == 0 { 0 } else { bit(PageClass::CachePrivate, 4) };
        bit(PageClass::Zero, 1)
            | cache
            | private
            | bit(PageClass::User, 8)
            | bit(PageClass::Free, 16)
    }

    fn with(self, class: PageClass) -> Self {
        match class {
            PageClass::User | PageClass::Hugetlb => {
                Self(self.0 | PageClass::User.bit() | PageClass::Hugetlb.bit())
            }
            PageClass::Poison => self,
            _ => Self(self.0 | class.bit()),
        }
    }
}

impl FromIterator<PageClass> for PageClasses {
    fn from_iter<I: IntoIterator<Item = PageClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::ALL, Self::with)
    }
}

impl FromStr for PageClasses {
    type Err = UnknownPageClass;

    fn from_str(text: &str) -> Result<Self, UnknownPageClass> {
        let mut classes = Self::ALL;
        for name in text.split(',').map(str::trim) {
            let chosen = PageClass::ALL
                .into_iter()
                .find(|class| *class != PageClass::Poison && class.name() == name);
            classes = match (name, chosen) {
                ("all", _) => classes,
                ("nonfree", _) => classes.union(Self::nonfree()),
                ("kernel", _) => classes.union(Self::kernel()),
                (_, Some(class)) => classes.with(class),
                (_, None) => return Err(UnknownPageClass { name: name.to_owned() }),
            };
        }
        Ok(classes)
    }
}

impl fmt::Display for PageClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("all");
        }
        if *self == Self::nonfree() {
            return f.pad("nonfree");
        }
        if *self == Self::kernel() {
            return f.pad("kernel");
        }
        let chosen = |class: &PageClass| !matches!(class, PageClass::Hugetlb | PageClass::Poison);
        let names: Vec<_> = self.iter().filter(chosen).map(PageClass::name).collect();
        f.pad(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_parsed_again() {
        for bits in 0..=255_u8 {
            let classes: PageClasses =
                PageClass::ALL.into_iter().filter(|class| bits & class.bit() != 0).collect();
            assert_eq!(classes.to_string().parse(), Ok(classes), "{classes}");
        }
        assert_eq!("kernel".parse(), Ok(PageClasses::kernel()));
        assert_eq!("zero, offline,free".parse(), Ok(PageClasses::nonfree()));
        assert_eq!("hugetlb".parse::<PageClasses>().unwrap().to_string(), "user");
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "poison", "Free", "free,", "kernel,cached"] {
            assert!(name.parse::<PageClasses>().is_err(), "{name}");
        }
    }

    #[test]
    fn poison_is_left_out_with_anything_else() {
        assert!(!PageClasses::ALL.leaves_out(PageClass::Poison));
        let free: PageClasses = "free".parse().unwrap();
        assert_eq!(free.iter().collect::<Vec<_>>(), [PageClass::Free, PageClass::Poison]);
    }

    #[test]
    fn levels_are_those_of_makedumpfile() {
        let level = |text: &str| text.parse::<PageClasses>().unwrap().makedumpfile_level();
        assert_eq!((level("all"), level("kernel"), level("nonfree")), (0, 31, 17));
        assert_eq!(
            (level("cache"), level("cache-private"), level("cache,cache-private")),
            (2, 0, 6)
        );
    }
}
