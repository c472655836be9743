//! Where the admin key comes from.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use swarm_binhost::secret;

use crate::http::AdminKey;

/// The name of the admin key among systemd's credentials.
const CREDENTIAL: &str = "build-swarm.admin-key";

/// ADMIN_KEY, else the service manager's credential, else the key in the data directory, made at the first start and said
/// once on a terminal.
pub(super) fn admin_key(data: &Path) -> Result<AdminKey> {
    if let Some(key) = std::env::var("ADMIN_KEY").ok().filter(|key| !key.trim().is_empty()) {
        return Ok(AdminKey::new(&key));
    }
    if let Some(path) = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(CREDENTIAL))
        && path.exists()
    {
        let key = fs_err::read_to_string(path).context("read the admin key the service manager hands over")?;
        anyhow::ensure!(!key.trim().is_empty(), "the credential {CREDENTIAL} is empty: put the admin key into it");
        return Ok(AdminKey::new(&key));
    }
    let path: PathBuf = data.join("admin.key");
    let fresh = !path.exists();
    let key = secret::load_or_create(&path).context("keep the admin key")?.0;
    if fresh && std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("The admin key is {key}; it is kept in {} and not shown again.", path.display());
    }
    Ok(AdminKey::new(&key))
}
