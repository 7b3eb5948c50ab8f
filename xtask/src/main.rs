//! Checks of the workspace that cargo does not know: `cargo xtask layers`.

mod layers;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [task] = arguments.as_slice() else { return usage() };
    match task.as_str() {
        "layers" => layers::run(),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: cargo xtask layers\n\n  layers  every dependency between members points down, and fenced libraries stay fenced"
    );
    ExitCode::from(2)
}
