//! `cargo xtask layers`: dependencies between members point strictly down, and fenced libraries stay fenced.

use std::env;
use std::fmt;
use std::io;
use std::process::{Command, ExitCode};

use serde::Deserialize;

/// Members from the lowest layer to the highest; those of one layer never name one another.
const LAYERS: &[&[&str]] = &[
    &["btvep-domain"],
    &["btvep-protocol", "btvep-sdk"],
    &["btvep-state", "btvep-chain", "btvep-plugins", "btvep-strategies", "btvep-devnet", TESTKIT],
    &["btvep-engine", "btvep-host"],
    &["btvep-gateway", "btvep-control"],
    &["btvep-server"],
    &["btvep-benches", "xtask"],
];

/// Only a dev-dependency of anybody.
const TESTKIT: &str = "btvep-testkit";

/// Libraries that only some members may name, so that they can be replaced; with them all that begins
/// with the name and a hyphen or underscore.
const FENCES: &[(&str, &[&str])] = &[
    ("sled", &["btvep-state"]),
    ("redis", &["btvep-state"]),
    ("subxt", &["btvep-chain"]),
    ("hyper", &["btvep-engine", "btvep-devnet", "btvep-control"]),
    ("libloading", &["btvep-host"]),
    ("pingora", &["btvep-gateway", "btvep-benches"]),
    ("axum", &["btvep-control"]),
    ("clap", &["btvep-server", "btvep-benches"]),
    ("notify", &["btvep-server"]),
    ("toml", &["btvep-server"]),
    ("toml_edit", &["btvep-server"]),
];

/// What `cargo metadata` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or none for a normal one.
    kind: Option<String>,
}

/// A dependency that must not be, or a member nobody has placed.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    NoLayer { member: String },
    NotDown { member: String, on: String },
    Testkit { member: String },
    Fence { member: String, library: String, allowed: &'static [&'static str] },
}

/// The members cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("cargo metadata cannot be run: {0}")]
    Run(#[from] io::Error),
    #[error("cargo metadata failed: {0}")]
    Failed(String),
    #[error("cargo metadata said something else than expected: {0}")]
    Json(#[from] serde_json::Error),
}

/// Checks the workspace and reports every violation.
pub(crate) fn run() -> ExitCode {
    let metadata = match read() {
        Ok(metadata) => metadata,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let violations = check(&metadata);
    for violation in &violations {
        eprintln!("layers: {violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read() -> Result<Metadata, Unreadable> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    if !output.status.success() {
        return Err(Unreadable::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn check(metadata: &Metadata) -> Vec<Violation> {
    let members: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in &metadata.packages {
        if layer(&package.name).is_none() {
            violations.push(Violation::NoLayer { member: package.name.clone() });
        }
        // A dev-dependency may point anywhere: it never reaches who uses the member.
        let shipped = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        violations.extend(shipped.filter_map(|dependency| judge(&package.name, &dependency.name, &members)));
    }
    violations
}

/// Says what is wrong with one dependency, if anything is.
fn judge(member: &str, on: &str, members: &[&str]) -> Option<Violation> {
    let member_name = || member.to_owned();
    if on == TESTKIT {
        return Some(Violation::Testkit { member: member_name() });
    }
    if members.contains(&on) {
        // Who has no layer is reported once, as such.
        let is_down = layer(on)? < layer(member)?;
        return (!is_down).then(|| Violation::NotDown { member: member_name(), on: on.to_owned() });
    }
    let (_, allowed) = FENCES.iter().find(|(library, _)| is_fenced(library, on))?;
    let is_allowed = allowed.contains(&member);
    (!is_allowed).then(|| Violation::Fence { member: member_name(), library: on.to_owned(), allowed })
}

fn layer(member: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&member))
}

fn is_fenced(library: &str, dependency: &str) -> bool {
    dependency.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLayer { member } => {
                write!(f, "`{member}` has no layer; place it in LAYERS of xtask/src/layers.rs")
            }
            Self::NotDown { member, on } => write!(
                f,
                "`{member}` depends on `{on}`, which is not below it; put what both need into a contract of `btvep-domain`"
            ),
            Self::Testkit { member } => {
                write!(f, "`{member}` depends on `{TESTKIT}`; that may only stand in [dev-dependencies]")
            }
            Self::Fence { member, library, allowed } => {
                write!(f, "`{member}` names `{library}`; only {} may", allowed.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a made-up workspace of members with their dependencies, each `name` or `name/kind`.
    #[track_caller]
    fn check_workspace(packages: &[(&str, &[&str])], expected: &[&str]) {
        let dependency = |text: &&str| {
            let (name, kind) = text.split_once('/').map_or((*text, None), |(name, kind)| (name, Some(kind)));
            Dependency { name: name.to_owned(), kind: kind.map(str::to_owned) }
        };
        let packages = packages.iter().map(|(name, dependencies)| Package {
            name: (*name).to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        });
        let violations = check(&Metadata { packages: packages.collect() });
        let shown: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), expected.len(), "{shown:?}");
        for (shown, expected) in shown.iter().zip(expected) {
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn down_is_fine() {
        check_workspace(
            &[
                ("btvep-domain", &["serde"]),
                ("btvep-engine", &["btvep-domain", "hyper", "hyper-util", "btvep-testkit/dev", "btvep-state/dev"]),
                ("btvep-state", &["btvep-domain", "sled"]),
                ("btvep-testkit", &["btvep-domain"]),
                ("btvep-server", &["btvep-engine", "btvep-state", "clap", "clap_complete", "toml_edit"]),
            ],
            &[],
        );
    }

    #[test]
    fn up_and_sideways_are_named() {
        check_workspace(
            &[
                ("btvep-domain", &["btvep-state"]),
                ("btvep-state", &["btvep-plugins"]),
                ("btvep-plugins", &["btvep-domain/build", "btvep-engine/build"]),
                ("btvep-engine", &[]),
            ],
            &[
                "`btvep-domain` depends on `btvep-state`, which is not below it",
                "`btvep-state` depends on `btvep-plugins`",
                "`btvep-plugins` depends on `btvep-engine`",
            ],
        );
    }

    #[test]
    fn the_testkit_is_for_tests() {
        check_workspace(
            &[("btvep-server", &["btvep-testkit"]), ("btvep-testkit", &[])],
            &["`btvep-server` depends on `btvep-testkit`; that may only stand in [dev-dependencies]"],
        );
    }

    #[test]
    fn a_fenced_library_outside_its_fence_is_named() {
        check_workspace(
            &[
                ("btvep-gateway", &["hyper-util", "pingora-core", "hyperscan"]),
                ("btvep-plugins", &["sled/dev", "redis"]),
            ],
            &[
                "`btvep-gateway` names `hyper-util`; only btvep-engine, btvep-devnet, btvep-control may",
                "`btvep-plugins` names `redis`; only btvep-state may",
            ],
        );
    }

    #[test]
    fn a_member_without_a_layer_is_named_once() {
        check_workspace(
            &[("btvep-new", &["btvep-domain"]), ("btvep-domain", &[]), ("btvep-server", &["btvep-new"])],
            &["`btvep-new` has no layer"],
        );
    }
}
