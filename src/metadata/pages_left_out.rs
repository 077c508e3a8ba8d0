//! Pages that were left out of a core by their class.

use serde::{Deserialize, Serialize};
use vmcore_formats::page_class::{LeftOut, PageClass};

use super::Metadata;

/// How much of a class was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassBytes {
    /// The class.
    pub class: String,
    /// How many bytes.
    pub bytes: u64,
}

impl ClassBytes {
    /// What a core's record of pages left out adds up to.
    pub fn of(record: &LeftOut) -> Vec<Self> {
        let sums = record.bytes_by_class().into_iter();
        sums.map(|(class, bytes)| Self { class: class.name().to_owned(), bytes }).collect()
    }
}

impl Metadata {
    /// Describes what a core's record lists as left out.
    pub fn set_left_out(&mut self, record: &LeftOut) {
        self.bytes_dropped = ClassBytes::of(record);
        let poison = record.runs.iter().any(|run| run.class == PageClass::Poison);
        let classes = record.classes.iter().filter(|class| poison || *class != PageClass::Poison);
        for name in classes.map(PageClass::name) {
            if !self.pages_dropped.iter().any(|other| other == name) {
                self.pages_dropped.push(name.to_owned());
            }
        }
    }
}
