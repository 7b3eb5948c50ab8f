//! `admin.sock`: the control plane of a running server, for its own machine and user only.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::UnixListener;

/// Name of the socket within the state folder.
pub const SOCKET: &str = "admin.sock";

/// The longest path of a Unix socket, without the closing zero (Linux: `sun_path`).
const LONGEST: usize = 107;

/// What the name of the folder it is made in may be longer than its own.
const SPARE: usize = 6;

/// The socket cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path does not fit a socket's address.
    #[error("{} is too long for a Unix socket (at most {} bytes); choose a shorter state.path", .0.display(), LONGEST - SPARE)]
    TooLong(PathBuf),
    /// The system refuses.
    #[error("the admin socket {} cannot be made: {cause}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The bound socket; removed when dropped.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    listener: std::os::unix::net::UnixListener,
}

impl AdminSocket {
    /// Binds `admin.sock` in a folder with mode 0600, in place of a stale one.
    ///
    /// The caller owns the store of that folder, so no other server can be behind a socket that is there.
    ///
    /// # Errors
    ///
    /// The path is too long, or the system refuses.
    pub fn bind(folder: &Path) -> Result<Self, SocketError> {
        let path = Self::check(folder)?;
        let io = |cause| SocketError::Io { path: path.clone(), cause };
        // Made inside a folder that only we may enter, and moved into place when its mode is right: nobody can
        // connect in between, whatever the umask.
        let private = folder.join(format!(".a{}", std::process::id()));
        // Left behind by a crash of a process that had our number.
        let _ = fs::remove_dir_all(&private);
        fs::DirBuilder::new().mode(0o700).create(&private).map_err(io)?;
        let bound = Self::bind_in(&private, &path);
        fs::remove_dir_all(&private).map_err(io)?;
        let listener = bound.map_err(io)?;
        Ok(Self { path, listener })
    }

    /// Returns where the socket of a folder is, if its path fits.
    ///
    /// # Errors
    ///
    /// The path is too long.
    pub fn check(folder: &Path) -> Result<PathBuf, SocketError> {
        let path = folder.join(SOCKET);
        if path.as_os_str().len() > LONGEST - SPARE { Err(SocketError::TooLong(path)) } else { Ok(path) }
    }

    fn bind_in(private: &Path, path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
        let inside = private.join("s");
        let listener = std::os::unix::net::UnixListener::bind(&inside)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    }

    /// Serves until the future is dropped; must run inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// The listener is of no use.
    pub async fn serve(self, router: Router) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        axum::serve(listener, router).await
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A socket left behind is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}
