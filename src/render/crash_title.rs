//! A crash's title for people.

use std::borrow::Cow;

/// In data, a title without its function ends with syzkaller's word for that, so that titles can
/// be compared. For people, it is replaced by what it means.
pub fn crash_title(title: &str) -> Cow<'_, str> {
    match title.strip_suffix(" in corrupted") {
        Some(class) => Cow::Owned(format!("{class} (function unknown)")),
        None => Cow::Borrowed(title),
    }
}

#[cfg(test)]
mod tests {
    use super::crash_title;

    #[test]
    fn a_function_that_is_unknown_is_called_that() {
        assert_eq!(crash_title("kernel BUG in corrupted"), "kernel BUG (function unknown)");
        assert_eq!(crash_title("kernel BUG in corrupted_fn"), "kernel BUG in corrupted_fn");
    }
}
