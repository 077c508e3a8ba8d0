//! Text from elsewhere, made fit for a terminal.

/// The text without what a terminal would obey: control characters, and marks that
/// turn the direction of writing.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character changes the order in which others are shown.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(shown("büro\x1b[31m\n\u{202e}x"), "büro\u{fffd}[31m\u{fffd}\u{fffd}x");
    }
}
