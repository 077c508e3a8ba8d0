//! `vmcorectl print`: structures of the guest's kernel, by its own types.

use std::time::Duration;

use anyhow::Context;

use super::completers;
use super::confinement::SandboxArgs;
use super::exit::{Exit, UsageError};
use super::guest::ConnectArgs;
use super::identity::IdentityArgs;
use super::kernel::KernelArgs;
use super::store_folder::StoreArgs;
use super::stored_core::{Found, print};
use super::ui::say_findings;
use crate::interrupt::Interrupt;
use crate::kernel::Kernel;
use crate::kernel::print::{Cpus, Objects, PrintError, Printed, Query};
use crate::sandbox::print::{Answer, Failure, Request};
use crate::units::parse::positive_duration;
use crate::vmcore::Vmcore;
use crate::{held, render};

/// Print a structure of the guest's kernel by the kernel's own types
///
/// TYPE alone prints its layout. A dot in an expression follows pointers, too: unlike an arrow,
/// it needs no quotes in a shell. What cannot be read is printed as such, never as zeros.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  print latest task_struct                              its layout
  print latest task_struct init_task.mm.pgd             a member
  print latest task_struct.pid,comm init_task.tasks --list tasks
  print latest module modules --list list               all entries of a list
  print latest rq.nr_running runqueues --cpu all        one of each CPU
  print latest task_struct 0xffff888003c0e7b8 --container-of tasks
  print latest inode super_block@0xffff888003c0e800.s_inodes --list i_sb_list

Exit codes:
  0  printed
  1  not found, or nothing of it can be read
  2  usage")]
pub(super) struct PrintArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`; or a stopped
    /// guest: its QMP socket, or `libvirt:` and a domain's name or UUID
    #[arg(add = completers::entries())]
    entry: String,
    /// Type, such as `task_struct`, `struct rq`, `pid_t` or `char *`; with `.MEMBER,...` only these
    /// members. Or EXPR, if it begins with a variable whose type BTF has
    #[arg(value_name = "TYPE[.MEMBER,...]", add = completers::subjects())]
    subject: String,
    /// Where it is: a symbol, or an address in hexadecimal digits; with members, `->` and `[3]`
    /// behind it. `TYPE@` before it if the memory there has another type
    #[arg(value_name = "[TYPE@]ADDR|SYMBOL[.MEMBER...]", add = completers::expressions())]
    expression: Option<String>,
    /// Print the entries of the list whose head is at EXPR; MEMBER of TYPE links them
    #[arg(long, value_name = "MEMBER", requires = "expression", conflicts_with_all = ["rbtree", "container_of"], add = completers::members())]
    list: Option<String>,
    /// The same of a red-black tree, in order
    #[arg(long, value_name = "MEMBER", requires = "expression", conflicts_with = "container_of", add = completers::members())]
    rbtree: Option<String>,
    /// Print the TYPE that has MEMBER at EXPR
    #[arg(long, value_name = "MEMBER", requires = "expression", add = completers::members())]
    container_of: Option<String>,
    /// Of a per-CPU variable, or what a per-CPU pointer leads to: that of one CPU, or `all`
    #[arg(long, value_name = "N", value_parser = cpus)]
    cpu: Option<Cpus>,
    /// The most elements of an array, characters of a text, and entries of a list
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = elements)]
    elements: usize,
    /// How many structures inside of each other are printed
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=64))]
    depth: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long to wait for an answer of QEMU, if ENTRY is a guest
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "15s")]
    timeout: Duration,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// Prints structures.
pub(super) fn run(arguments: &PrintArgs) -> anyhow::Result<Exit> {
    let search = arguments.find_kernel.depth();
    let Answer { outcome, findings } = match arguments.connect.target_of_entry(&arguments.entry)? {
        Some(target) => {
            let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
            let request = Request { path: target.label(), search, query: query(arguments) };
            held::print_of(&target, arguments.timeout, &interrupt, &request)?
        }
        None => {
            let reads = arguments.find_kernel.reads();
            let entry = Found::find(&arguments.entry, &arguments.store, &arguments.identity)?;
            let core = entry.open(arguments.sandbox, &arguments.identity, reads, None)?;
            let path = core.path().to_owned();
            let request = Request { path, search, query: query(arguments) };
            answer_with(&core, &request, Kernel::read_symbols_and_types)
        }
    };
    say_findings(&findings);
    match outcome {
        Ok(printed) => show(&printed, arguments.json),
        Err(Failure { message, hint, is_usage: true }) => Err(UsageError { message, hint }.into()),
        Err(failure) => Err(failure.into()),
    }
}

/// What a core has of what is asked.
pub(super) fn answer(core: &Vmcore, request: &Request) -> Answer {
    answer_with(core, request, |_| ())
}

/// The same, with what is to be done first with the kernel.
fn answer_with(core: &Vmcore, request: &Request, prepare: fn(&Kernel)) -> Answer {
    let fail = |error: &dyn std::error::Error, hint, is_usage| {
        Err(Failure { message: error.to_string(), hint, is_usage })
    };
    let mut findings = core.findings().to_vec();
    let kernel = match Kernel::find_in(core, request.search) {
        Ok(kernel) => kernel,
        Err(error) => return Answer { outcome: fail(&error, None, false), findings },
    };
    prepare(&kernel);
    findings.extend(kernel.origin());
    findings.extend_from_slice(kernel.types_findings());
    let outcome = match kernel.print(&request.query) {
        Ok(printed) => {
            findings.extend_from_slice(&printed.findings);
            Ok(printed)
        }
        Err(error) => {
            let is_usage = matches!(error, PrintError::Syntax { .. });
            fail(&error, error.hint(), is_usage)
        }
    };
    findings.extend(kernel.ambiguities());
    Answer { outcome, findings }
}

fn show(printed: &Printed, json: bool) -> anyhow::Result<Exit> {
    print(|out| {
        if json {
            render::json::pretty(&render::print_json::PrintJson::new(printed), out)
        } else {
            render::print::text(printed, out)
        }
    })?;
    Ok(if printed.is_unreadable() { Exit::Failed } else { Exit::Done })
}

fn query(arguments: &PrintArgs) -> Query {
    let member = |member: &Option<String>| member.clone();
    let objects = member(&arguments.list)
        .map(Objects::List)
        .or_else(|| member(&arguments.rbtree).map(Objects::Tree))
        .or_else(|| member(&arguments.container_of).map(Objects::ContainerOf));
    Query {
        subject: arguments.subject.clone(),
        expression: arguments.expression.clone(),
        objects: objects.unwrap_or_default(),
        cpu: arguments.cpu,
        elements: arguments.elements,
        depth: arguments.depth.into(),
    }
}

fn cpus(text: &str) -> Result<Cpus, String> {
    match text {
        "all" => Ok(Cpus::All),
        number => {
            number.parse().map(Cpus::One).map_err(|_| "it is no number, and not all".to_owned())
        }
    }
}

fn elements(text: &str) -> Result<usize, String> {
    /// The most that can be asked for.
    const MOST: usize = 1 << 17;
    let number: usize = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (1..=MOST).contains(&number) { Ok(number) } else { Err(format!("it is not in 1..={MOST}")) }
}
