//! What cannot change while the process runs.

use crate::config::Config;

use super::change::changes;

/// Puts back what only a restart can change; returns the key paths whose new values wait for one.
pub(crate) fn keep(running: &Config, new: &mut Config) -> Vec<String> {
    let written = new.clone();
    put_back(running, new);
    changes(new, &written).into_iter().map(|change| change.path).collect()
}

fn put_back(running: &Config, new: &mut Config) {
    // Sockets and threads.
    let (was, now) = (&running.listen, &mut new.listen);
    (now.public, now.admin, now.h2c) = (was.public, was.admin, was.h2c);
    (now.threads, now.work_stealing) = (was.threads, was.work_stealing);
    // Another certificate can be shown; whether one is shown at all is the socket's.
    if was.tls.is_some() != now.tls.is_some() {
        now.tls.clone_from(&was.tls);
    }
    // An open store.
    new.state = running.state.clone();
    new.log.format = running.log.format;
    // Running miners.
    if running.devnet.is_some() {
        new.devnet.clone_from(&running.devnet);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Loaded;

    const TEXT: &str = "upstream = [{ name = \"u\", base_url = \"http://127.0.0.1:1\" }]\n\
                        model = [{ id = \"m\", upstream = \"u\" }]\n";

    fn config(sets: &[&str]) -> Config {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Loaded::from_text(Path::new("b.toml"), TEXT, &sets).unwrap().config
    }

    #[track_caller]
    fn check(running: &[&str], new: &[&str], waits: &[&str]) {
        let (running, mut new) = (config(running), config(new));
        assert_eq!(keep(&running, &mut new), waits);
        assert_eq!(keep(&running, &mut new), [""; 0], "what was put back waits no more");
    }

    #[test]
    fn sockets_threads_and_the_store_wait_for_a_restart() {
        check(&[], &["listen.public=127.0.0.1:1", "listen.admin=127.0.0.1:2"], &["listen.admin", "listen.public"]);
        check(
            &[],
            &["listen.h2c=true", "listen.threads=3", "listen.work_stealing=true"],
            &["listen.h2c", "listen.threads", "listen.work_stealing"],
        );
        check(&[], &["state.path=elsewhere", "state.logs.retain_days=1"], &["state.logs.retain_days", "state.path"]);
        check(&[], &["log.format=json"], &["log.format"]);
        check(&["devnet.miners=2"], &["devnet.miners=3"], &["devnet.miners"]);
    }

    #[test]
    fn tls_waits_only_when_it_is_switched() {
        let tls = |cert: &str| format!("listen.tls={{ cert = \"{cert}\", key = \"k\" }}");
        check(&[], &[&tls("a")], &["listen.tls.cert", "listen.tls.key"]);
        check(&[&tls("a")], &[], &["listen.tls.cert", "listen.tls.key"]);
        check(&[&tls("a")], &[&tls("b")], &[]);
    }

    #[test]
    fn all_else_follows() {
        check(
            &[],
            &["listen.stall=1s", "listen.drain=1s", "limits.body_bytes=9", "log.level=debug", "devnet.miners=2"],
            &[],
        );
    }
}
