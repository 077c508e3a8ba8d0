//! Which pages a core lacks, as it is typed.

use vmcore_formats::page_class::PageClasses;

/// The option of every command that writes a core.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct PagesArgs {
    /// Which pages to keep: all; nonfree, without zero, free and offline pages; kernel, without
    /// cache and user pages, too. Or the classes to leave out, with commas between: zero, free,
    /// cache, cache-private, user, offline
    ///
    /// The kernel's own pages are kept by every choice, and all pages if the kernel's record of
    /// them is not understood or damaged. This does not remove all data of users: buffers of
    /// pipes and sockets, compressed memory (zram) and pages that were freed just now are
    /// pages of the kernel; files in tmpfs and shared memory count as cache.
    #[arg(long, value_name = "CLASSES", default_value = "all")]
    pages: PageClasses,
}

impl PagesArgs {
    /// The classes that are left out.
    pub(super) fn classes(self) -> PageClasses {
        self.pages
    }
}
