//! `xs-load`: a load generator for servers that speak zero-terminated frames.
//!
//! One thread sends frames that it has made beforehand, checks every byte that
//! comes back, and prints one line of JSON per run. What it prints includes its
//! own use of the processor: a figure is the server's only as long as the
//! generator had time to spare.
//!
//! The workloads and their rules are described in `benches/README.md`; the
//! options in `xs-load --help`.

#![allow(
    clippy::print_stdout,
    reason = "a command-line program: standard output is its result"
)]

mod flow;
mod idle;
mod ingest;
mod json;
mod machine;
mod net;
mod options;
mod paced;
mod pattern;
mod round_trip;
mod samples;

use std::error::Error;
use std::process::ExitCode;

use crate::options::{Options, Parsed, Workload};

fn main() -> ExitCode {
    let options = match options::parse(lexopt::Parser::from_env()) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("xs-load: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xs-load: {}: {error}", options.workload.name());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    machine::raise_open_files_limit();
    let line = match options.workload {
        Workload::Echo | Workload::Long | Workload::Drip => flow::run(options, &flow::Echo)?,
        Workload::Relay => flow::run(options, &flow::Relay)?,
        Workload::Broadcast => flow::run(options, &flow::Broadcast)?,
        Workload::Ingest => ingest::run(options)?,
        Workload::RoundTrip => round_trip::run(options)?,
        Workload::Paced => paced::run(options)?,
        Workload::Idle => return idle::run(options),
    };
    println!("{line}");
    Ok(())
}
