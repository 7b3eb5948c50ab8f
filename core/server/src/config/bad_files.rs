//! A corpus of configurations that are refused, each with its one message: `tests/bad_configs/*.md`.
//!
//! A case is a heading, what is written (`--set` lines, a block that stands before [`GOOD`], or is the `whole` file),
//! and the message, indented. `BLESS=1 cargo test -p btvep-server bad_files` writes the messages anew, to be read.

use std::path::{Path, PathBuf};

use super::{LoadError, Loaded};
use crate::assemble;

/// What stands behind every block: a configuration needs a model.
const GOOD: &str = r#"
[[upstream]]
name = "own"
base_url = "https://llm.example.com/v1"

[[model]]
id = "m"
upstream = "own"
"#;

/// One case as its file holds it.
struct Case<'a> {
    name: &'a str,
    written: &'a str,
    message: &'a str,
}

impl<'a> Case<'a> {
    fn read(text: &'a str) -> Self {
        let (name, rest) = text.split_once('\n').unwrap();
        let (written, message) = rest.rsplit_once("\n    ").unwrap();
        Self { name, written, message: message.trim_end() }
    }

    /// Does what `config check` does, in a folder that holds the files which cases name.
    fn check(&self, folder: &Path) -> Result<(), LoadError> {
        let sets = self.written.lines().filter_map(|line| line.strip_prefix("`--set ")?.strip_suffix('`'));
        let sets: Vec<String> = sets.map(|set| set.replace("\\n", "\n")).collect();
        let block = self.written.split_once("```toml").map_or("\n", |(_, block)| block.trim_end_matches("```\n"));
        let text = match block.strip_prefix(" whole\n") {
            Some(whole) => whole.to_owned(),
            None => format!("{}{GOOD}", block.trim_start_matches('\n')),
        };
        let file = folder.join("bad.toml");
        std::fs::write(&file, text).unwrap();
        assemble::preflight(&Loaded::read(&file, &sets)?)
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_configs")
}

fn folder_with_files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(corpus().join("files")).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

/// Says what is missing of file and line, the key's path, and words on what would be right.
fn lack(error: &LoadError, message: &str) -> Option<&'static str> {
    let place = message.starts_with("bad.toml:") || message.starts_with("--set: ");
    let jargon = ["struct", "variant", "field `", "enum", "deserialize", "u16", "usize", "invalid type"];
    match () {
        () if !place => Some("its place"),
        () if error.path.is_empty() => Some("the key's path"),
        () if message.contains('\n') => Some("being one line"),
        () if jargon.iter().any(|word| error.message.contains(word)) => Some("the operator's words"),
        () => None,
    }
}

#[test]
fn every_bad_file_gets_its_one_message() {
    let (folder, mut wrong, mut count) = (folder_with_files(), Vec::new(), 0);
    for file in std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut blessed = text.clone();
        for case in text.split("\n## ").skip(1).map(Case::read) {
            let Err(error) = case.check(folder.path()) else {
                wrong.push(format!("{}: was taken", case.name));
                continue;
            };
            let message = error.to_string().replace(&format!("{}/", folder.path().display()), "");
            wrong.extend(lack(&error, &message).map(|what| format!("{}: `{message}` lacks {what}", case.name)));
            if message != case.message {
                wrong.push(format!("{}:\n  expected {}\n  found    {message}", case.name, case.message));
                let with = |message: &str| format!("{}\n    {message}", case.written);
                blessed = blessed.replacen(&with(case.message), &with(&message), 1);
            }
            count += 1;
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, blessed).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 60, "only {count} cases were found");
}
