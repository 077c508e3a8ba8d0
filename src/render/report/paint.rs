//! Colours on a terminal.

use crate::printable::shown;

/// How a piece of text should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The answer.
    Title,
    /// What went wrong.
    Bad,
    /// A heading.
    Head,
    /// What is seldom needed.
    Faint,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Whether it is.
    pub colours: bool,
}

impl Paint {
    /// The text, safe for a terminal, in this look.
    pub fn of(self, look: Look, text: &str) -> String {
        let text = shown(text);
        if !self.colours || text.is_empty() {
            return text;
        }
        let code = match look {
            Look::Title => "1;31",
            Look::Bad => "31",
            Look::Head => "1;36",
            Look::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_no_control_characters() {
        for colours in [false, true] {
            let text = Paint { colours }.of(Look::Bad, "a\x1b[2Jb");
            assert_eq!(text.matches('\x1b').count(), if colours { 2 } else { 0 });
        }
    }
}
