//! A held guest's core as a file, over its memory.

use std::sync::Arc;

use vmcore_formats::elf::stored_core::{StoredCore, StoredCoreError};
use vmcore_formats::page_class::LeftOut;

use super::Direct;
use crate::corefile::read::bytes::Bytes;
use crate::corefile::write::CoreSummary;
use crate::vmcore::elf_image::ElfImage;

impl Direct {
    /// The core that a whole dump would be stored as, byte by byte: without these pages, if
    /// any are to be left out.
    ///
    /// # Errors
    /// Fails if it is too large for an ELF file.
    pub(crate) fn core(
        &self,
        left_out: Option<&LeftOut>,
    ) -> Result<(Arc<dyn Bytes>, CoreSummary), StoredCoreError> {
        let (head, bytes) = self.head();
        let notes = head.summarise_notes(bytes);
        let (mut head, mut prefix) = (head.clone(), bytes.to_vec());
        let left_out = left_out.and_then(|plan| head.leave_out(plan, &mut prefix));
        let layout = StoredCore::plan(&head)?;
        let encoded = layout.encode_head(&head, &prefix);
        let image = ElfImage::laid_out(&layout, encoded, Arc::clone(self.memory()) as _);
        Ok((Arc::new(image), CoreSummary::of(&head, notes, left_out)))
    }
}
