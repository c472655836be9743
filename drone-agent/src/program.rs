//! This program's own file: workers and attempts are started from it.

use std::io;
use std::path::PathBuf;

/// Where it is, also after it was replaced by a newer version.
pub fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let text = path.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}
