//! The types of variables that BTF does not have: `variables.txt`.
//!
//! BTF has per-CPU variables alone, but where the kernel has `global_var`. A line counts only if it
//! fits what BTF and the symbols say.

/// The table.
const TABLE: &str = include_str!("variables.txt");

/// Its lines: name and type. Of several of one name, the first that fits counts.
pub fn known_variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_table_is_a_name_and_a_type() {
        let mut count = 0;
        for (name, _) in known_variables() {
            assert!(
                name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()),
                "{name}"
            );
            count += 1;
        }
        assert!(count > 150, "{count} variables");
        let not_blank = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(not_blank.count(), count);
    }
}
