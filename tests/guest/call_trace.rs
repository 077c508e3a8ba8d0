//! The call trace that a crashing kernel prints.

/// What the kernel said of its own stack.
pub(crate) struct CallTrace {
    /// The functions from where it happened to the entry into the kernel, as `name+offset/size`; guesses (`? name`)
    /// are left out.
    pub(crate) functions: Vec<String>,
}

impl CallTrace {
    /// The last one of a log. What only prints it or panics is left out.
    ///
    /// ```text
    /// RIP: 0010:by_null+0xc/0x20 [crasher]     pc : by_null+0xc/0x20 [crasher]     where it happened
    /// Call Trace:                              Call trace:
    ///  <TASK>
    ///  crash+0x1e/0x1f0 [crasher]               crash+0x1e/0x1f0 [crasher]         who called
    ///  ? do_fault+0x1a7/0x410                                                      a guess
    ///  asm_sysvec_apic_timer_interrupt+...                                         an interrupt, and
    /// RIP: 0010:by_softlockup+0x18/0x40                                            what it came to
    /// ```
    pub(crate) fn last_of(log: &str) -> Self {
        let lines: Vec<&str> = log.lines().map(without_time).collect();
        // The registers are printed once more at the end of an oops, without a trace.
        let start = lines
            .iter()
            .rposition(|line| line.eq_ignore_ascii_case("call trace:"))
            .expect("a call trace");
        let (before, after) = lines.split_at(start);
        let mut functions: Vec<String> = Vec::new();
        for line in after.iter().skip(1) {
            if let Some(function) = frame(line).or_else(|| counter(line)) {
                functions.push(function);
            } else if ends(line) {
                break;
            }
        }
        let name = |function: &String| function.split('+').next().unwrap_or_default().to_owned();
        match functions
            .iter()
            .rposition(|function| matches!(name(function).as_str(), "panic" | "vpanic"))
        {
            Some(panic) => drop(functions.drain(..=panic)),
            None => {
                let happened = before.iter().rev().find_map(|line| counter(line));
                // arm64 begins the trace with it.
                let happened = happened.filter(|function| functions.first() != Some(function));
                functions.splice(0..0, happened);
            }
        }
        Self { functions }
    }
}

fn without_time(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, text)) => text,
        None => line,
    }
}

/// A line of the trace that is no guess.
fn frame(line: &str) -> Option<String> {
    let function = line.strip_prefix(' ')?;
    (!function.starts_with([' ', '?', '<'])).then(|| symbol(function)).flatten()
}

/// The instruction of registers in the kernel.
fn counter(line: &str) -> Option<String> {
    let function = line.strip_prefix("RIP: 0010:").or_else(|| line.strip_prefix("pc : "))?;
    symbol(function)
}

/// `name+offset/size [module]`, whatever follows.
fn symbol(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let function = words.next().filter(|word| word.contains("+0x") && word.contains("/0x"))?;
    let module = words.next().filter(|word| word.starts_with('['));
    let module = module.map(|module| format!(" {}{}", module.trim_end_matches(']'), "]"));
    Some(format!("{function}{}", module.unwrap_or_default()))
}

/// What follows a trace.
fn ends(line: &str) -> bool {
    let after = [" </TASK>", "Modules linked in", "---[", "Kernel Offset", "SMP: stopping"];
    after.iter().any(|end| line.starts_with(end))
}
