//! A dump's head without some of its pages.

use super::left_out::{LeftOut, MAX_STRETCHES};
use crate::addr::PhysAddr;
use crate::elf::Segment;
use crate::elf::dump_head::DumpHead;

impl DumpHead {
    /// Takes pages out of the segments, and adds the record of them to the notes. What is still
    /// in a segment is where it was in the stream.
    ///
    /// `prefix` are the bytes that the head was decoded from; the note comes behind them.
    /// Returns the record: what of `plan` is the guest's memory, in no more stretches than a
    /// core has segments for. Returns `None`, and leaves nothing out, if that is too long for a
    /// note.
    pub fn leave_out(&mut self, plan: &LeftOut, prefix: &mut Vec<u8>) -> Option<LeftOut> {
        let mut record = plan.within(&self.memory());
        record.keep_short_stretches(MAX_STRETCHES);
        let note = record.note(self.identity.endian)?;
        let start = prefix.len().next_multiple_of(4);
        prefix.resize(start, 0);
        // A note of which the padding is missing would shift the next one.
        if let Some(last) = self.notes.last_mut() {
            let padded = last.end.next_multiple_of(4);
            if padded != last.end {
                let notes = prefix.get(last.clone()).unwrap_or_default().to_vec();
                *last = start..start.saturating_add(notes.len().next_multiple_of(4));
                prefix.extend(notes);
                prefix.resize(last.end, 0);
            }
        }
        let start = prefix.len();
        prefix.extend(note);
        self.notes.push(start..prefix.len());
        self.segments =
            self.segments.iter().flat_map(|segment| without(segment, &record)).collect();
        Some(record)
    }

    /// Where the guest has memory: the start and the length of each range, sorted and apart.
    fn memory(&self) -> Vec<(PhysAddr, u64)> {
        let mut ranges: Vec<_> =
            self.segments.iter().map(|segment| (segment.physical, segment.file_size)).collect();
        ranges.sort_by_key(|(start, _)| *start);
        ranges.dedup_by(|next, range| {
            let end = range.0.saturating_add(range.1);
            let touch = next.0 <= end;
            if touch {
                let end = end.max(next.0.saturating_add(next.1));
                range.1 = end.saturating_distance_from(range.0);
            }
            touch
        });
        ranges.retain(|(_, length)| *length > 0);
        ranges
    }
}

/// The parts of a segment that are kept, in order.
fn without(segment: &Segment, record: &LeftOut) -> Vec<Segment> {
    let end = segment.physical.saturating_add(segment.file_size);
    let first = record.runs.partition_point(|run| run.end() <= segment.physical);
    let runs = record.runs.iter().skip(first).take_while(|run| run.start < end);
    let mut parts = Vec::new();
    let mut at = segment.physical;
    for (start, next) in runs.map(|run| (run.start, run.end())).chain([(end, end)]) {
        if let Some(length) = start.distance_from(at).filter(|length| *length > 0) {
            let skipped = at.saturating_distance_from(segment.physical);
            parts.push(Segment {
                physical: at,
                virtual_address: segment.virtual_address.wrapping_add(skipped),
                offset: segment.offset.saturating_add(skipped),
                file_size: length,
                memory_size: length,
                flags: segment.flags,
            });
        }
        at = next.max(at);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::dump_head::Progress;
    use crate::elf::note::Notes;
    use crate::elf::stored_core::StoredCore;
    use crate::elf::synthetic::Stream;
    use crate::page_class::{ClassRun, PageClass, PageClasses};

    fn plan(runs: &[(u64, u64)]) -> LeftOut {
        let run = |(start, length): &(u64, u64)| ClassRun {
            start: PhysAddr(*start),
            length: *length,
            class: PageClass::User,
        };
        LeftOut { classes: PageClasses::kernel(), runs: runs.iter().map(run).collect() }
    }

    fn head(stream: &[u8]) -> (DumpHead, Vec<u8>) {
        let Ok(Progress::Complete(head)) = DumpHead::decode(stream) else { panic!() };
        let length = usize::try_from(head.head_length).unwrap();
        (head, stream[..length].to_vec())
    }

    #[test]
    fn what_is_kept_stays_where_it_is_in_the_stream() {
        let stream = Stream::default().build();
        let (whole, _) = head(&stream);
        let (mut filtered, mut prefix) = head(&stream);
        let plan = plan(&[(0x1000, 0x1000), (0x2000, 0x10_0000)]);
        let record = filtered.leave_out(&plan, &mut prefix).unwrap();
        let found: Vec<_> = record.runs.iter().map(|run| (run.start.0, run.length)).collect();
        assert_eq!(found, [(0x1000, 0x1000), (0x2000, 0x1000), (0xc_0000, 0x1000)]);
        let kept: Vec<_> = filtered
            .segments
            .iter()
            .map(|segment| (segment.physical.0, segment.file_size, segment.offset))
            .collect();
        let (first, last) = (whole.segments[0], whole.segments[2]);
        assert_eq!(kept, [(0, 0x1000, first.offset), (0xfffc_0000, 0x2800, last.offset)]);
        assert_eq!(filtered.stream_length, whole.stream_length);
    }

    #[test]
    fn the_record_is_among_the_notes_of_the_stored_core() {
        let mut stream = Stream::default();
        // As a guest can write it: a VMCOREINFO without its padding.
        stream.notes.truncate(stream.notes.len() - 2);
        let (mut head, mut prefix) = head(&stream.build());
        let plan = plan(&[(0x1000, 0x1000)]);
        let record = head.leave_out(&plan, &mut prefix).unwrap();
        assert!(head.summarise_notes(&prefix).consistent);
        let core = StoredCore::plan(&head).unwrap();
        let bytes = core.encode_head(&head, &prefix);
        let Ok(Progress::Complete(again)) = DumpHead::decode(&bytes) else { panic!() };
        let notes = bytes.get(again.notes[0].clone()).unwrap();
        let last = Notes::new(notes, again.identity.endian).last().unwrap().unwrap();
        assert_eq!(LeftOut::decode(last.descriptor), Ok(record));
        assert_eq!(Notes::new(notes, again.identity.endian).count(), 4);
    }
}
