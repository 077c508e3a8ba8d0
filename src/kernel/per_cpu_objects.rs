//! Structures that each CPU has one of, or a part of.

use vmcore_formats::cursor::Endian;

use super::Kernel;
use super::types::{Object, ObjectError};

impl Kernel {
    /// The run queue of a CPU.
    pub(super) fn run_queue(&self, cpu: u32) -> Option<Object<'_>> {
        Object::at(self, "rq", self.per_cpu(self.symbol("runqueues")?, cpu)?).ok()
    }

    /// The value of a `struct percpu_counter`: its sum, and what each CPU has not added to it yet.
    ///
    /// Not below zero: the parts are read at different times.
    ///
    /// # Errors
    /// Fails if the sum cannot be read.
    pub(super) fn per_cpu_counter(
        &self,
        owner: &Object<'_>,
        path: &str,
    ) -> Result<u64, ObjectError> {
        let sum = owner.i64(&format!("{path}.count"))?;
        // Without SMP there are no parts.
        let parts = owner.pointer(&format!("{path}.counters")).ok().filter(|parts| parts.0 != 0);
        let part = |cpu: &u32| {
            let mut bytes = [0; 4];
            self.space.read(self.per_cpu(parts?, *cpu)?, &mut bytes).ok()?;
            Some(match self.space.endian() {
                Endian::Little => i32::from_le_bytes(bytes),
                Endian::Big => i32::from_be_bytes(bytes),
            })
        };
        let parts = self.possible_cpus().iter().filter_map(part);
        let sum = parts.fold(sum, |sum, part| sum.saturating_add(part.into()));
        Ok(sum.max(0).cast_unsigned())
    }
}
