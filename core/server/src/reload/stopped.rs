use btvep_control::{ConfigControl, ConfigStatus};

/// The configuration while no server runs.
#[derive(Debug)]
pub(crate) struct StoppedConfig;

/// What only a server can tell.
const NOBODY: &str = "no server runs with this state.path; `btvep start` starts one";

impl ConfigControl for StoppedConfig {
    fn status(&self) -> Result<ConfigStatus, String> {
        Err(NOBODY.to_owned())
    }

    fn reload(&self) -> Result<ConfigStatus, String> {
        Err(NOBODY.to_owned())
    }
}
