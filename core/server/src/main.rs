//! The binary `btvep`.

/// Keeps the memory of a burst small and gives it back; libc's allocator holds on to it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Before anything may open a connection: the libraries choose no cryptography by themselves. It fails only
    // when one has been chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    btvep_server::run()
}
