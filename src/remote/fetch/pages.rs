//! Pages of lists.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use object_store::ObjectMeta;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::{DELIMITER, Path};

use super::objects::{Answered, Failed, Objects};
use crate::remote::dated::DatedObject;
use crate::remote::wire::{MAX_BYTES, Outcome, Page, PageOf};

/// The most objects of a page of a server that has no pages, and the most bytes of their names.
const MAX_PAGE: usize = 50_000;
const MAX_PAGE_BYTES: usize = 8 << 20;
/// What an object has beside its name in JSON.
const ROOM: usize = 64;

impl Objects {
    /// A page of a list.
    pub(super) async fn page(&self, of: PageOf) -> Answered {
        let page = match self.pages() {
            Some(pages) => self.page_of(pages, of).await?,
            None => self.page_of_all(&of).await?,
        };
        let json = serde_json::to_vec(&page).map_err(|error| error.to_string())?;
        if json.len() as u64 > MAX_BYTES {
            return Err("its names are too long for a list".to_owned().into());
        }
        Ok((Outcome::Done, json))
    }

    async fn page_of(&self, pages: &dyn PaginatedListStore, of: PageOf) -> Result<Page, Failed> {
        let root = match self.root().as_ref() {
            "" => String::new(),
            root => format!("{root}{DELIMITER}"),
        };
        let prefix = [&root, of.prefix.as_str()].concat();
        let offset = of.after.filter(|_| of.token.is_none());
        let options = PaginatedListOptions {
            offset: offset.map(|after| [root, after].concat()),
            delimiter: of.folders.then_some(Cow::Borrowed(DELIMITER)),
            page_token: of.token,
            ..PaginatedListOptions::default()
        };
        let listed =
            pages.list_paginated((!prefix.is_empty()).then_some(&*prefix), options).await?;
        let folder = |folder: &Path| format!("{}{DELIMITER}", self.below(folder));
        Ok(Page {
            objects: listed.result.objects.iter().map(|object| self.dated(object)).collect(),
            folders: listed.result.common_prefixes.iter().map(folder).collect(),
            token: listed.page_token.filter(|token| !token.is_empty()),
            begins_anywhere: true,
        })
    }

    /// A page of a server that lists everything at once.
    async fn page_of_all(&self, of: &PageOf) -> Result<Page, Failed> {
        let path = self.path(of.prefix.trim_end_matches(DELIMITER))?;
        let prefix = (!path.as_ref().is_empty()).then_some(&path);
        let mut objects = match of.token.as_ref().or(of.after.as_ref()) {
            None => self.store().list(prefix),
            Some(after) => self.store().list_with_offset(prefix, &self.path(after)?),
        };
        let (mut page, mut bytes) = (Page::default(), 0_usize);
        while let Some(object) = objects.try_next().await? {
            let object = self.dated(&object);
            // Letters that JSON escapes are rare in names, and six times as long at most.
            bytes = bytes.saturating_add(object.name.len()).saturating_add(ROOM);
            let is_last = page.objects.len() >= MAX_PAGE - 1 || bytes > MAX_PAGE_BYTES;
            page.token = is_last.then(|| object.name.clone());
            page.objects.push(object);
            if is_last {
                break;
            }
        }
        Ok(page)
    }

    /// An object, and how long ago it was written, by the server's clock.
    fn dated(&self, object: &ObjectMeta) -> DatedObject {
        let age = self.clock().now().as_second().saturating_sub(object.last_modified.timestamp());
        let age = u64::try_from(age).unwrap_or_default();
        DatedObject { name: self.below(&object.location), bytes: object.size, age }
    }

    fn below(&self, path: &Path) -> String {
        below_root(path.as_ref(), self.root().as_ref())
    }
}

/// A key without what it begins with.
pub(super) fn below_root(key: &str, root: &str) -> String {
    key.strip_prefix(root).unwrap_or_default().trim_start_matches(DELIMITER).to_owned()
}
