use vmcore_formats::addr::VirtAddr;

use super::*;
use crate::kernel::unwind::Trust;
use crate::kernel::{CodeAddress, SymbolisedAddress};

fn frame(address: CodeAddress, name: &str, trust: Trust) -> StackFrame {
    let symbol = (!name.is_empty()).then(|| SymbolisedAddress {
        name: name.to_owned(),
        offset: 0x10,
        size: 0x40,
        module: None,
        build_id: None,
    });
    StackFrame { address, sp: Some(VirtAddr(0x1000)), symbol, trust, entry: None }
}

fn stack() -> Stack<'static> {
    let mut entered = frame(CodeAddress::Return(VirtAddr(0x20)), "asm_exc_page_fault", Trust::Orc);
    entered.entry = Some(Box::new(EntryRegisters {
        at: VirtAddr(0x5000),
        from_user: true,
        registers: vec![("rip", 1), ("rsp", 2), ("rax", 3), ("orig_rax", u64::MAX)],
    }));
    let frames = vec![
        frame(CodeAddress::Instruction(VirtAddr(0x10)), "", Trust::Registers),
        frame(CodeAddress::Return(VirtAddr(0x18)), "evil\x1b[31m", Trust::Scan),
        entered,
    ];
    let findings = vec!["a scan was needed".to_owned()];
    let backtrace = Backtrace { frames, end: StackEnd::Cut("it is gone".to_owned()), findings };
    let line = SourceLine {
        function: Some("inlined".to_owned()),
        file: Some("kernel/panic.c".to_owned()),
        line: Some(7),
    };
    let lines = vec![vec![], vec![line, SourceLine::default()]];
    Stack { cpu: Some(1), panicked: true, task: Some((7, "in\nit")), backtrace, lines }
}

#[test]
fn each_function_is_shown_with_how_it_was_found_and_what_it_interrupted() {
    let mut out = Vec::new();
    text(&[stack(), Stack { cpu: None, panicked: false, ..stack() }], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "CPU 1  panicked  in\u{fffd}it (pid 7)
  #0  0x0000000000000010            registers
  #1  evil\u{fffd}[31m+0x10/0x40           scan?
        kernel/panic.c:7 inlined
        ?:? ?
  #2  asm_exc_page_fault+0x10/0x40  orc
        entered from user code, whose registers were
        rip      0000000000000001  rsp      0000000000000002  rax      0000000000000003
        orig_rax ffffffffffffffff
      not followed further: it is gone
      finding  a scan was needed

in\u{fffd}it (pid 7)
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_cpu_in_user_code_has_no_functions_of_the_kernels() {
    let backtrace = Backtrace { frames: vec![], end: StackEnd::UserMode, findings: vec![] };
    let mut out = Vec::new();
    text(&[Stack { backtrace, lines: vec![], ..stack() }], &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().ends_with("(pid 7)\n      in user code\n"));
}

#[test]
fn as_json_addresses_are_strings_and_every_frame_has_its_trust() {
    let stacks = [stack()];
    let json = serde_json::to_value(BacktracesJson::new(&stacks, &[])).unwrap();
    assert_eq!(json["schema"], SCHEMA);
    let stack = &json["stacks"][0];
    assert_eq!(
        (&stack["pid"], &stack["end"], &stack["cut"]),
        (&7.into(), &"cut".into(), &"it is gone".into())
    );
    let frames = stack["frames"].as_array().unwrap();
    assert_eq!(frames[0]["address"], "0x10");
    assert_eq!(frames[0]["function"], serde_json::Value::Null);
    assert_eq!(frames[1]["trust"], "scan");
    assert_eq!(frames[1]["lines"][0]["file"], "kernel/panic.c");
    assert_eq!(frames[2]["entry"]["registers"]["orig_rax"], "0xffffffffffffffff");
    assert_eq!(frames[2]["returns"], true);
}
