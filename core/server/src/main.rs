//! The binary `btvep`.

/// Keeps the memory of a burst small and gives it back; libc's allocator holds on to it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // A kernel that backs all memory with pages of 2 MiB keeps tens of megabytes that hold next to nothing. Where it
    // cannot be told so, nothing is lost but memory.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // Before anything may open a connection: the libraries choose no cryptography by themselves. It fails only
    // when one has been chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    btvep_server::run()
}
