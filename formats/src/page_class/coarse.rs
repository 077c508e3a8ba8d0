//! Two records joined, one cut to the memory there is, and one made coarse.

use super::left_out::{ClassRun, LeftOut, MAX_RUNS};
use crate::addr::PhysAddr;

impl LeftOut {
    /// This record and a later one of the same memory: what was left out already keeps its
    /// class.
    #[must_use]
    pub fn and_then(&self, later: &Self) -> Self {
        let mut runs = self.runs.clone();
        for run in &later.runs {
            let first = self.runs.partition_point(|old| old.end() <= run.start);
            let mut at = run.start;
            for old in self.runs.iter().skip(first).take_while(|old| old.start < run.end()) {
                runs.extend(part(run, at, old.start));
                at = at.max(old.end());
            }
            runs.extend(part(run, at, run.end()));
        }
        runs.sort_by_key(|run| run.start);
        Self { classes: self.classes.union(later.classes), runs }
    }

    /// What of it is in these ranges of memory, which are sorted and apart: the start and the
    /// length of each.
    #[must_use]
    pub fn within(&self, memory: &[(PhysAddr, u64)]) -> Self {
        let mut runs = Vec::new();
        for run in &self.runs {
            let end = |(start, length): &(PhysAddr, u64)| start.saturating_add(*length);
            let first = memory.partition_point(|range| end(range) <= run.start);
            let hit = memory.iter().skip(first).take_while(|range| range.0 < run.end());
            runs.extend(hit.filter_map(|range| part(run, range.0, end(range))));
        }
        Self { classes: self.classes, runs }
    }

    /// Keeps what is left out in the shortest stretches, until there are `most` stretches at
    /// most: each makes a segment of the core.
    pub fn keep_short_stretches(&mut self, most: usize) {
        let lengths = self.stretches();
        if lengths.len() <= most && self.runs.len() <= MAX_RUNS {
            return;
        }
        let mut shortest = lengths.clone();
        shortest.sort_unstable_by(|one, other| other.cmp(one));
        // Of stretches as long as this one, some may be too many: all of them are kept.
        let mut limit = shortest.get(most).copied().unwrap_or_default();
        loop {
            let kept = self.with_stretches_over(limit);
            if kept.len() <= MAX_RUNS {
                self.runs = kept;
                return;
            }
            limit = limit.saturating_mul(2).max(1);
        }
    }

    /// The length of each stretch of runs that touch.
    fn stretches(&self) -> Vec<u64> {
        let mut lengths: Vec<u64> = Vec::new();
        let mut end = None;
        for run in &self.runs {
            match lengths.last_mut() {
                Some(length) if end == Some(run.start) => {
                    *length = length.saturating_add(run.length);
                }
                _ => lengths.push(run.length),
            }
            end = Some(run.end());
        }
        lengths
    }

    fn with_stretches_over(&self, limit: u64) -> Vec<ClassRun> {
        let lengths = self.stretches();
        let mut lengths = lengths.iter();
        let mut wanted = false;
        let mut end = None;
        let mut runs = Vec::new();
        for run in &self.runs {
            if end != Some(run.start) {
                wanted = lengths.next().is_some_and(|length| *length > limit);
            }
            end = Some(run.end());
            if wanted {
                runs.push(*run);
            }
        }
        runs
    }
}

/// What of `run` is from `start` up to `end`.
fn part(run: &ClassRun, start: PhysAddr, end: PhysAddr) -> Option<ClassRun> {
    let start = run.start.max(start);
    let length = run.end().min(end).distance_from(start).filter(|length| *length > 0)?;
    Some(ClassRun { start, length, class: run.class })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page_class::{PageClass, PageClasses};

    const FREE: PageClass = PageClass::Free;
    const USER: PageClass = PageClass::User;

    fn left_out(runs: &[(u64, u64, PageClass)]) -> LeftOut {
        let run =
            |(start, end, class)| ClassRun { start: PhysAddr(start), length: end - start, class };
        let runs: Vec<_> = runs.iter().copied().map(run).collect();
        LeftOut { classes: runs.iter().map(|run| run.class).collect::<PageClasses>(), runs }
    }

    #[test]
    fn what_was_left_out_first_keeps_its_class() {
        let first = left_out(&[(2, 4, FREE), (6, 8, FREE)]);
        let later = left_out(&[(1, 7, USER), (7, 8, USER), (9, 10, USER)]);
        let both = first.and_then(&later);
        let expected = [(1, 2, USER), (2, 4, FREE), (4, 6, USER), (6, 8, FREE), (9, 10, USER)];
        assert_eq!(both, left_out(&expected));
        assert_eq!(first.and_then(&LeftOut::default()), first);
        assert_eq!(LeftOut::default().and_then(&later), later);
    }

    #[test]
    fn what_is_no_memory_is_not_left_out() {
        let runs = left_out(&[(0, 4, FREE), (6, 20, USER)]);
        let memory = [(PhysAddr(2), 6), (PhysAddr(10), 2), (PhysAddr(19), 9)];
        let expected = left_out(&[(2, 4, FREE), (6, 8, USER), (10, 12, USER), (19, 20, USER)]);
        assert_eq!(runs.within(&memory), expected);
        assert_eq!(runs.within(&[]).runs, []);
    }

    #[test]
    fn the_shortest_stretches_are_kept() {
        let runs = [(0, 1, FREE), (1, 3, USER), (5, 6, FREE), (10, 12, FREE), (20, 22, USER)];
        let mut left_out_of_it = left_out(&runs);
        left_out_of_it.keep_short_stretches(4);
        assert_eq!(left_out_of_it, left_out(&runs));
        left_out_of_it.keep_short_stretches(3);
        assert_eq!(left_out_of_it.runs, left_out(&[runs[0], runs[1], runs[3], runs[4]]).runs);
        // Both of the same length are kept.
        left_out_of_it.keep_short_stretches(2);
        assert_eq!(left_out_of_it.runs, left_out(&runs[..2]).runs);
        left_out_of_it.keep_short_stretches(0);
        assert_eq!(left_out_of_it.runs, []);
    }
}
