//! Untrusted text on a terminal.

/// The text with control characters and those that change the direction of writing replaced.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character changes the direction of writing.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(shown("büro\x1b[31m\n\u{202e}x"), "büro\u{fffd}[31m\u{fffd}\u{fffd}x");
    }
}
