//! Structures that each CPU has one of, or a part of.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::budget::{Budget, PART, Spent};
use super::types::{Object, ObjectError};

/// A `struct percpu_counter`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerCpuCounter {
    /// Its sum so far.
    sum: i64,
    /// The per-CPU pointer to what each CPU has not added to it yet. Without SMP there is none.
    parts: Option<VirtAddr>,
}

impl PerCpuCounter {
    /// Its value. Not below zero: the parts are read at different times.
    pub(super) fn value(self) -> u64 {
        self.sum.max(0).cast_unsigned()
    }
}

impl Kernel {
    /// The run queue of a CPU.
    pub(super) fn run_queue(&self, cpu: u32) -> Option<Object<'_>> {
        Object::at(self, "rq", self.per_cpu(self.symbol("runqueues")?, cpu)?).ok()
    }

    /// The value of a `struct percpu_counter`, with the parts of all CPUs.
    pub(super) fn per_cpu_counter(
        &self,
        owner: &Object<'_>,
        path: &str,
        budget: &Budget,
    ) -> Result<u64, ObjectError> {
        let mut counter = [per_cpu_counter(owner, path)?];
        self.add_parts(&mut counter, budget)?;
        let [counter] = counter;
        Ok(counter.value())
    }

    /// Adds the parts of all CPUs to counters, CPU by CPU: memory of one CPU is together, and so
    /// in few chunks of a core.
    ///
    /// # Errors
    /// Fails if the parts of all of them are too many. Nothing is read then.
    pub(super) fn add_parts(
        &self,
        counters: &mut [PerCpuCounter],
        budget: &Budget,
    ) -> Result<(), Spent> {
        let cpus = self.possible_cpus();
        let parts = (cpus.len() as u64).saturating_mul(counters.len() as u64);
        budget.take(parts.saturating_mul(PART))?;
        for cpu in cpus {
            for counter in &mut *counters {
                let at = counter.parts.and_then(|parts| self.per_cpu(parts, *cpu));
                let part = at.and_then(|at| self.space.read_u32(at).ok()).unwrap_or_default();
                counter.sum = counter.sum.saturating_add(part.cast_signed().into());
            }
        }
        Ok(())
    }
}

/// A counter, without what each CPU has not added to it yet.
pub(super) fn per_cpu_counter(
    owner: &Object<'_>,
    path: &str,
) -> Result<PerCpuCounter, ObjectError> {
    let sum = owner.i64(&format!("{path}.count"))?;
    let parts = owner.pointer(&format!("{path}.counters")).ok().filter(|parts| parts.0 != 0);
    Ok(PerCpuCounter { sum, parts })
}
