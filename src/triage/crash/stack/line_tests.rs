use super::*;

fn functions(text: &str) -> Vec<(Role, String, Option<String>, bool)> {
    let of =
        |m: Mention<'_>| (m.role, m.symbol.to_owned(), m.module.map(str::to_owned), m.reliable);
    match read(text.as_bytes()) {
        Some(StackLine::Function(one)) => vec![of(one)],
        Some(StackLine::CalleeAndCaller(callee, caller)) => vec![of(callee), of(caller)],
        _ => Vec::new(),
    }
}

#[test]
fn program_counters_of_every_architecture_are_read() {
    for text in [
        "RIP: 0010:f+0x1/0x2",
        "RIP: 0010:[<ffffffff81234567>]  [<ffffffff81234567>] f+0x1/0x2",
        "EIP: f+0x1/0x2",
        "EIP is at f+0x1/0x2",
        "PC is at f+0x1/0x2",
        "pc : f+0x1/0x2",
        "NIP [c00000000022d79c] f+0x1/0x2",
        "epc : f+0x1/0x2",
        "epc : 80123456 f+0x1/0x2",
        "ERA: 9000000000201234 f+0x1/0x2",
        "Krnl PSW : 0704c00180000000 00000000001f2e3a (f+0x1/0x2)",
        "--- interrupt: 700 at f+0x1/0x2",
    ] {
        assert_eq!(functions(text), [(Role::Pc, "f".to_owned(), None, true)], "{text}");
    }
    for text in [
        "IP: [<ffffffff81234567>] f+0x1/0x2",
        "IP: f+0x1/0x2",
        "TPC: <f+0x1/0x2>",
        "IAOQ[0]: f+0x1/0x2",
        "[ERET  ]: f+0x1/0x2",
        "epc   : 80123456 f+0x1/0x2",
        "pc is at f+0x1/0x2",
    ] {
        assert_eq!(functions(text), [(Role::Pc, "f".to_owned(), None, true)], "{text}");
    }
    for text in [
        "lr : g+0x1/0x2",
        " ra : g+0x1/0x2",
        "ra    : 80123456 g+0x1/0x2",
        "   ra: 9000000000201234 g+0x1/0x2",
        "RPC: <g+0x1/0x2>",
        "RP(r2): g+0x1/0x2",
        "PR is at g+0x1/0x2",
        "[BLINK ]: g+0x1/0x2",
    ] {
        assert_eq!(functions(text), [(Role::Link, "g".to_owned(), None, true)], "{text}");
    }
    for text in ["IP: 10.0.0.1", "PC: Intel Corporation", "epc : 80123456 ra : 80123450"] {
        assert_eq!(read(text.as_bytes()), None, "{text}");
    }
    assert_eq!(functions(" ? __pfx_f+0x10/0x10"), []);
    assert_eq!(read(b"RIP: 0033:0x440cc9"), Some(StackLine::UserPc));
    assert_eq!(read(b"RIP: 0010:0x0"), Some(StackLine::NamelessPc));
}

#[test]
fn frames_of_every_architecture_are_read() {
    for text in [
        " f+0x1/0x2",
        " [<ffffffff81234567>] f+0x1/0x2",
        " <IRQ>  [<ffffffff81234567>] f+0x1/0x2",
        " <<EOE>>  [<ffffffff81234567>] f+0x1/0x2",
        "([<00000000001f2e3a>] f+0x1/0x2)",
        "[c00000007a3ef970] [c00000000022d784] f+0x1/0x2",
        " f+0x1/0x2 fs/x.c:12",
    ] {
        assert_eq!(functions(text), [(Role::Stack, "f".to_owned(), None, true)], "{text}");
    }
    let module = Some("ext4".to_owned());
    assert_eq!(
        functions(" f+0x1/0x2 [ext4]"),
        [(Role::Stack, "f".to_owned(), module.clone(), true)]
    );
    assert_eq!(
        functions(" f+0x1/0x2 [ext4 0123abcd]"),
        [(Role::Stack, "f".to_owned(), module, true)]
    );
    assert!(!functions(" ? f+0x1/0x2")[0].3);
    assert!(!functions("[c0] [c1] f+0x1/0x2 (unreliable)")[0].3);
    assert_eq!(functions("Caller[000000000045a8c0]: f+0x1/0x2").len(), 1);
    let module = |name: &str| Some(name.to_owned());
    for text in [
        "[<81>] (f [m]) from [<82>] (g+0x1/0x2 [n])",
        "[<81>] (f+0x0/0x2 [m]) from [<82>] (g+0x1/0x2 [n])",
        " f [m] from g+0x1/0x2 [n]",
    ] {
        let modules: Vec<_> = functions(text).into_iter().map(|(_, _, module, _)| module).collect();
        assert_eq!(modules, [module("m"), module("n")], "{text}");
    }
    for text in ["[<81>] (f) from [<82>] (g+0x1/0x2)", " f from g+0x1/0x2"] {
        let names: Vec<_> = functions(text).into_iter().map(|(_, name, ..)| name).collect();
        assert_eq!(names, ["f", "g"], "{text}");
    }
}

#[test]
fn what_the_kernels_script_decoded_is_read() {
    let place = "(fs/x.c:12 (discriminator 3) fs/y.h:4)";
    for text in ["RIP: 0010:f", "pc : f", "PC is at f", "epc : f", "NIP [c00000000022d79c] f"] {
        let found = functions(&format!("{text} {place}"));
        assert_eq!(found, [(Role::Pc, "f".to_owned(), None, true)], "{text}");
    }
    assert_eq!(functions("lr : g (fs/x.c:1)")[0].0, Role::Link);
    let module = Some("xfs".to_owned());
    assert_eq!(
        functions(&format!(" f {place} xfs")),
        [(Role::Stack, "f".to_owned(), module, true)]
    );
    assert!(!functions(" ? f (./arch/x.h:5)")[0].3);
    let pair = functions(" f from g (fs/x.c:1)");
    assert_eq!((pair[0].1.as_str(), pair[1].1.as_str()), ("f", "g"));
    for prose in
        ["(inlined by) f at fs/x.c:1", "f (device sda1): lookup:12", "f (a.c:1) has failed"]
    {
        assert_eq!(functions(prose), [], "{prose}");
    }
}

#[test]
fn prose_is_no_frame() {
    for text in [
        "BUG: KASAN: use-after-free in f+0x1/0x2",
        "f+0x1/0x2 was here",
        "f file.c:12 [inline]",
        "pci_device_remove is at 3",
        "#0: (&x){+.+.}, at: f+0x1/0x2",
        "1+1=2",
        "0x12+0x3",
        "",
    ] {
        assert_eq!(functions(text), [], "{text}");
    }
}
