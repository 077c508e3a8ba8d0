//! Structures that each CPU has one of, or a part of.

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
    pub(super) fn per_cpu_counter(
        &self,
        owner: &Object<'_>,
        path: &str,
    ) -> Result<u64, ObjectError> {
        let sum = owner.i64(&format!("{path}.count"))?;
        // Without SMP there are no parts.
        let parts = owner.pointer(&format!("{path}.counters")).ok().filter(|parts| parts.0 != 0);
        let part =
            |cpu: &u32| Some(self.space.read_u32(self.per_cpu(parts?, *cpu)?).ok()?.cast_signed());
        let parts = self.possible_cpus().iter().filter_map(part);
        let sum = parts.fold(sum, |sum, part| sum.saturating_add(part.into()));
        Ok(sum.max(0).cast_unsigned())
    }
}
