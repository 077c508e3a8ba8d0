//! The command line: what was typed, and what is answered.
//!
//! The only place that knows clap, the environment, the standard streams and
//! exit codes.

mod annotate;
mod backtrace;
mod capture;
mod completers;
mod completions;
mod confinement;
mod debug;
mod dmesg;
mod doctor;
mod exit;
mod explain;
mod export;
mod families;
mod fetcher;
mod group;
mod guest;
mod hook;
mod identity;
mod import;
mod index;
mod info;
mod kernel;
mod list;
mod log_input;
mod man;
mod mods;
mod module_files;
mod mount;
mod pages;
mod pin;
mod print;
mod prune;
mod ps;
mod pull;
mod push;
mod push_status;
mod read;
mod regs;
mod remote_core;
mod remote_store;
mod report;
mod report_child;
mod rewrap;
mod rm;
mod scope;
mod search;
mod secret_address;
mod spool_folder;
mod status;
mod store_folder;
mod stored_core;
mod symbol_paths;
mod symbols;
mod temporary_folder;
mod time_argument;
mod triage;
mod ui;
mod verify;
mod vmlinux_cache;
mod vtop;
mod watch;
mod watch_log;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::printable::shown;
use crate::remote::address::without_secrets;
use exit::Exit;

/// Capture the memory of panicked QEMU guests, and let the guests go
#[derive(Debug, Parser)]
#[command(name = "vmcorectl", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Capture(Box<capture::CaptureArgs>),
    Watch(watch::WatchArgs),
    List(list::ListArgs),
    Group(group::GroupArgs),
    Info(info::InfoArgs),
    Dmesg(dmesg::DmesgArgs),
    Ps(ps::PsArgs),
    Mods(mods::ModsArgs),
    Report(report::ReportArgs),
    Explain(explain::ExplainArgs),
    Bt(backtrace::BtArgs),
    Regs(regs::RegsArgs),
    Read(read::ReadArgs),
    Search(search::SearchArgs),
    Vtop(vtop::VtopArgs),
    Print(print::PrintArgs),
    Verify(verify::VerifyArgs),
    Export(export::ExportArgs),
    Symbols(symbols::SymbolsArgs),
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Import(import::ImportArgs),
    Mount(mount::MountArgs),
    Debug(debug::DebugArgs),
    Rewrap(rewrap::RewrapArgs),
    Rm(rm::RmArgs),
    Prune(prune::PruneArgs),
    Pin(pin::PinArgs),
    Unpin(pin::UnpinArgs),
    Annotate(annotate::AnnotateArgs),
    Index(index::IndexArgs),
    Triage(triage::TriageArgs),
    Hook(hook::HookArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    #[command(name = crate::sandbox::COMMAND, hide = true)]
    ReportChild,
    #[command(name = crate::remote::COMMAND, hide = true)]
    Fetcher,
}

/// Prints clap's message, and exits with its code: 2 for an error, as documented.
///
/// The message repeats arguments as they are, and a hook gets names from others.
fn usage(error: clap::Error) -> ! {
    let plain = |argument: OsString| shown(&without_secrets(&argument.to_string_lossy()));
    let arguments = std::env::args_os().map(plain);
    Arguments::try_parse_from(arguments).err().unwrap_or(error).exit()
}

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(exit) = hook::run_if_asked(std::env::args_os()) {
        return exit;
    }
    if let Some(exit) = completions::answer_if_asked() {
        return exit.into();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => usage(error),
    };
    let outcome = match arguments.command {
        Command::Status(arguments) => status::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Capture(arguments) => capture::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Group(arguments) => group::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Dmesg(arguments) => dmesg::run(&arguments),
        Command::Ps(arguments) => ps::run(&arguments),
        Command::Mods(arguments) => mods::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Bt(arguments) => backtrace::run(&arguments),
        Command::Regs(arguments) => regs::run(&arguments),
        Command::Read(arguments) => read::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Vtop(arguments) => vtop::run(&arguments),
        Command::Print(arguments) => print::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Symbols(arguments) => symbols::run(&arguments),
        Command::Push(arguments) => push::run(&arguments),
        Command::Pull(arguments) => pull::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Mount(arguments) => mount::run(&arguments),
        Command::Debug(arguments) => debug::run(&arguments),
        Command::Rewrap(arguments) => rewrap::run(&arguments),
        Command::Rm(arguments) => rm::run(&arguments),
        Command::Prune(arguments) => prune::run(&arguments),
        Command::Pin(arguments) => pin::pin(&arguments),
        Command::Unpin(arguments) => pin::unpin(&arguments),
        Command::Annotate(arguments) => annotate::run(&arguments),
        Command::Index(arguments) => index::run(&arguments),
        Command::Triage(arguments) => triage::run(&arguments),
        Command::Hook(arguments) => Ok(hook::run(arguments)),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::ReportChild => report_child::run(),
        Command::Fetcher => fetcher::run(),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            ui::error(&error);
            Exit::of(&error).into()
        }
    }
}
