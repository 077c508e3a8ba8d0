//! The command line.

fn main() -> std::process::ExitCode {
    vmcorectl::cli::main()
}
