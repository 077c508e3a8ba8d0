//! The kernel's log: the ring, and the record buffer before it.

use vmcore_formats::printk::record_buffer::{RecordBuffer, RecordLayout};
use vmcore_formats::printk::ring::RingLayout;
use vmcore_formats::printk::{LogMemory, LogPart, Record};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::endian;
use crate::input::Input;
use crate::limits::{SMALL, within};

/// What a kernel of Linux 6.1 says of its ring, and one of 5.4 of its buffer.
const INFO: &[u8] = include_bytes!("printk.vmcoreinfo");

/// The parts of a log, each a run of bytes.
struct Parts<'a>([&'a [u8]; 3]);

impl LogMemory for Parts<'_> {
    type Error = ();

    fn bytes(&self, part: LogPart, offset: u64, length: u64) -> Result<&[u8], ()> {
        let [descriptors, infos, text] = self.0;
        let bytes = match part {
            LogPart::Descriptors => descriptors,
            LogPart::Infos => infos,
            LogPart::Text => text,
        };
        let start = usize::try_from(offset).map_err(drop)?;
        let length = usize::try_from(length).map_err(drop)?;
        bytes.get(start..start.checked_add(length).ok_or(())?).ok_or(())
    }
}

/// A selector, VMCOREINFO if it is another, the ring's own fields, and the parts.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let selector = input.u8();
        let info = if selector & 4 == 0 { INFO } else { input.part() };
        let info = VmcoreInfo::parse(info);
        let own = input.part();
        let parts = Parts([input.part(), input.part(), input.rest()]);
        if selector & 2 == 0 {
            ring(&info, selector, own, &parts);
        } else {
            buffer(&info, selector, own, &parts);
        }
    });
}

fn ring(info: &VmcoreInfo, selector: u8, own: &[u8], parts: &Parts<'_>) {
    let Ok(layout) = RingLayout::of(info, endian(selector)) else { return };
    let Ok(ring) = layout.ring(own) else { return };
    for part in [LogPart::Descriptors, LogPart::Infos, LogPart::Text] {
        let _ = layout.ranges(&ring, part);
    }
    let mut bytes = 0_u64;
    layout.records(&ring, parts, |record| {
        bytes = bytes.saturating_add(record.map_or(0, |record| length(&record)));
    });
    assert!(bytes <= ring.text_size(), "{bytes} bytes of text in a ring of {}", ring.text_size());
}

fn buffer(info: &VmcoreInfo, selector: u8, own: &[u8], parts: &Parts<'_>) {
    let Ok(layout) = RecordLayout::of(info, endian(selector)) else { return };
    let mut own = Input::new(own);
    let (length_, first, next) = (own.u32().into(), own.u32().into(), own.u32().into());
    let buffer = RecordBuffer { length: length_, first, next };
    let _ = buffer.ranges();
    let mut bytes = 0_u64;
    let _ = layout.records(&buffer, parts, |record| bytes = bytes.saturating_add(length(&record)));
    assert!(bytes <= buffer.length, "{bytes} bytes of text in a buffer of {}", buffer.length);
}

fn length(record: &Record) -> u64 {
    record.text.len() as u64
}
