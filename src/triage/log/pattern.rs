//! The shape of what precedes a message on every line of a file: a stamp, a host, a level, a
//! quotation mark.
//!
//! ```text
//! Mar  3 10:11:12 box kernel: BUG: …        words, and what is between them
//! └word┘ └─ any ─┘ any └ kernel: another word here is another program's line
//! ```
//!
//! Punctuation is the same on each line of a file. Words with digits differ, and so do the words
//! of a stamp and levels. Other words are the same.
//!
//! Needs: what preceded a few messages. Gives: how much of another line is of that shape.

use super::program::{self, Source};
pub(super) use super::slot::Fit;
use super::slot::{Slot, Word, closing, is_blank, is_word, word};

/// The longest prefix that is learnt.
pub(super) const MAX_PREFIX: usize = 256;
/// The most parts of a prefix.
const MAX_SLOTS: usize = 96;
/// The longest group in brackets whose content is of no interest.
const MAX_GROUP: usize = 120;
/// The shape of a prefix.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    slots: Vec<Slot>,
    /// For each part that opens a group: what closes it, and how many parts are inside.
    closings: Vec<Option<(u8, usize)>>,
    /// How often it was seen.
    pub(super) count: usize,
    /// The kinds of anchors that were behind it, a bit for each.
    pub(super) kinds: u64,
    /// A time of the kernel's was behind it.
    pub(super) relays: bool,
    /// It has the form of a program's own log.
    pub(super) own_log: bool,
}

impl Pattern {
    /// The shape of one prefix.
    pub(super) fn of(prefix: &[u8]) -> Option<Self> {
        let prefix = prefix.get(..MAX_PREFIX).is_none().then_some(prefix)?;
        let mut slots = Vec::new();
        let mut rest = prefix;
        while let Some(first) = rest.first() {
            let length = if is_blank(*first) {
                let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
                slots.push(Slot::Blank(blanks));
                blanks
            } else if is_word(*first) {
                let word = word(rest);
                let digits = word.iter().any(u8::is_ascii_digit);
                slots.push(Slot::Word(Word { text: Some(word.to_vec()), digits }));
                word.len()
            } else {
                slots.push(Slot::Byte(*first));
                1
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        if slots.len() > MAX_SLOTS {
            return None;
        }
        let closings = closings(&slots);
        Some(Self {
            slots,
            closings,
            count: 1,
            kinds: 0,
            relays: false,
            own_log: program::is_own_log(prefix),
        })
    }

    /// Whether both have the same punctuation.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same = |(one, other): (&Slot, &Slot)| match (one, other) {
            (Slot::Word(one), Slot::Word(other)) => {
                !(one.is_kernel() || other.is_kernel()) || one.text == other.text
            }
            (Slot::Blank(_), Slot::Blank(_)) => true,
            _ => one == other,
        };
        self.slots.len() == other.slots.len() && self.slots.iter().zip(&other.slots).all(same)
    }

    /// Takes another prefix of the same shape into account.
    pub(super) fn merge(&mut self, other: Self) {
        for (own, other) in self.slots.iter_mut().zip(other.slots) {
            match (own, other) {
                (Slot::Word(own), Slot::Word(other)) => {
                    own.digits |= other.digits;
                    if own.text != other.text {
                        own.text = None;
                    }
                }
                (Slot::Blank(own), Slot::Blank(other)) => *own = other.min(*own),
                _ => {}
            }
        }
        self.count += other.count;
        self.kinds |= other.kinds;
        self.relays |= other.relays;
    }

    /// Counts a prefix that fits.
    pub(super) fn seen(&mut self, kinds: u64, relays: bool) {
        self.count += 1;
        self.kinds |= kinds;
        self.relays |= relays;
    }

    fn words(&self) -> impl Iterator<Item = &Word> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Word(word) => Some(word),
            _ => None,
        })
    }

    /// Whether it names the kernel.
    pub(super) fn names_kernel(&self) -> bool {
        self.words().any(Word::is_kernel)
    }

    /// Whose line it is that has this prefix.
    pub(super) fn source(&self) -> Source {
        if self.names_kernel() { Source::Kernel } else { Source::Prefixed }
    }

    /// Whether it has a number, as stamps have.
    pub(super) fn has_digits(&self) -> bool {
        self.words().any(|word| word.digits)
    }

    /// Whether it ends with the name of a program that is not the kernel, `name: `, `name[12]: `, or
    /// begins as a program's own log does.
    pub(super) fn names_program(&self) -> bool {
        if self.own_log {
            return !self.names_kernel();
        }
        let end = match self.slots.as_slice() {
            [start @ .., Slot::Blank(_)] => start,
            all => all,
        };
        let named = match end {
            [.., Slot::Word(name), Slot::Byte(b':')] => Some(name),
            [
                ..,
                Slot::Word(name),
                Slot::Byte(b'['),
                Slot::Word(pid),
                Slot::Byte(b']'),
                Slot::Byte(b':'),
            ] => pid.digits.then_some(name),
            _ => None,
        };
        named.is_some_and(|name| !name.digits) && !self.names_kernel()
    }

    /// How much of a line is of this shape.
    pub(super) fn fit(&self, line: &[u8]) -> Fit {
        match self.fit_strictly(line) {
            Fit::No => self.fit_groups(line),
            fit => fit,
        }
    }

    /// The same, with everything as it was seen.
    pub(super) fn fit_strictly(&self, line: &[u8]) -> Fit {
        let stamp = self.has_digits();
        let mut at = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let last = index + 1 == self.slots.len();
            match slot.fit(line.get(at..).unwrap_or_default(), stamp, last) {
                Ok(length) => at += length,
                Err(fit) => return fit,
            }
        }
        Fit::Whole(at)
    }

    /// The same, with anything in brackets and quotation marks: a task's name may have any shape.
    fn fit_groups(&self, line: &[u8]) -> Fit {
        let stamp = self.has_digits();
        let (mut index, mut at, mut groups) = (0, 0, 0);
        while let Some(slot) = self.slots.get(index) {
            let rest = line.get(at..).unwrap_or_default();
            let behind = self.slots.get(index + 1..).unwrap_or_default();
            let group = self
                .closings
                .get(index)
                .copied()
                .flatten()
                .and_then(|(close, inside)| Some((close, inside, behind.get(..inside)?)));
            if let Some((close, inside, slots)) = group {
                if slot.fit(rest, stamp, false).is_err() {
                    return Fit::No;
                }
                let content = rest.get(1..).unwrap_or_default();
                let Some(end) = content.iter().take(MAX_GROUP).position(|byte| *byte == close)
                else {
                    return Fit::No;
                };
                let content = content.get(..end).unwrap_or_default();
                let numbered =
                    slots.iter().any(|slot| matches!(slot, Slot::Word(word) if word.digits));
                if numbered && !content.iter().any(u8::is_ascii_digit) {
                    return Fit::No;
                }
                index += inside + 2;
                at += end + 2;
                groups += 1;
                continue;
            }
            match slot.fit(rest, stamp, index + 1 == self.slots.len()) {
                Ok(length) => at += length,
                Err(fit) => return fit,
            }
            index += 1;
        }
        if groups > 0 { Fit::Whole(at) } else { Fit::No }
    }
}

/// The groups of a prefix.
fn closings(slots: &[Slot]) -> Vec<Option<(u8, usize)>> {
    let of = |(index, slot): (usize, &Slot)| {
        let Slot::Byte(open) = slot else { return None };
        let close = closing(*open)?;
        let inside = slots.get(index + 1..)?.iter().position(|slot| *slot == Slot::Byte(close))?;
        Some((close, inside))
    };
    slots.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(learnt: &[&str], line: &str) -> Fit {
        let mut patterns = learnt.iter().filter_map(|prefix| Pattern::of(prefix.as_bytes()));
        let mut pattern = patterns.next().unwrap();
        for other in patterns {
            assert!(pattern.is_like(&other), "{other:?}");
            pattern.merge(other);
        }
        pattern.fit(line.as_bytes())
    }

    #[test]
    fn stamps_and_levels_differ_from_line_to_line() {
        assert_eq!(
            fit(&["[Mon Mar  3 10:11:12 2025] "], "[Tue Apr 14 09:00:00 2025]  f"),
            Fit::Whole(27)
        );
        assert_eq!(fit(&["kern  :warn  : "], "kern  :notice: x"), Fit::Whole(15));
        assert_eq!(fit(&["> > "], "> > x"), Fit::Whole(4));
        assert_eq!(fit(&["3\u{6708} 03 10:11:12 "], "12\u{6708} 31 23:59:59 x"), Fit::Whole(18));
        assert_eq!(fit(&["a 1: "], "a 1:"), Fit::Whole(4));
    }

    #[test]
    fn other_words_are_the_same() {
        assert_eq!(fit(&["box console: "], "box console: x"), Fit::Whole(13));
        assert_eq!(fit(&["box console: "], "usb drivers: x"), Fit::No);
        assert_eq!(
            fit(&["Mar 3 10:11:12 box kernel: "], "Mar 3 10:11:12 box sshd[1]: x"),
            Fit::Other
        );
    }

    #[test]
    fn a_group_in_brackets_may_have_any_content() {
        assert_eq!(fit(&["(2)[811:worker]"], "(2)[77:kworker/2:1]x"), Fit::Whole(19));
        assert_eq!(fit(&["a=\"b\" c=\""], "a=\"d: e\" c=\"x"), Fit::Whole(12));
        assert_eq!(fit(&["[1.5] "], "[drm] x"), Fit::No);
    }
}
