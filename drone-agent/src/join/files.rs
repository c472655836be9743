//! What a joined drone has on disk: `drone.toml` and `drone.nk` (mode 0600) and `bus-ca.pem`, each whole or not there.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use nkeys::KeyPair;
use swarm_common::files::write_whole;
use swarm_portage::RootConfig;
use swarm_protocol::invite::Invitation;

use super::JoinError;

/// Every file a join writes.
const FILES: [&str; 3] = ["drone.toml", "drone.nk", "bus-ca.pem"];

/// The directory of a drone's configuration.
#[derive(Debug)]
pub(super) struct ConfigDir {
    pub(super) dir: PathBuf,
}

impl ConfigDir {
    /// Makes the directory. One that holds a drone already is refused, or with `force` put aside.
    pub(super) fn prepare(dir: &Path, force: bool) -> Result<Self, JoinError> {
        let dir = std::path::absolute(dir)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir)?;
        let place = Self { dir };
        let config = place.path("drone.toml");
        if fs::symlink_metadata(&config).is_ok() {
            if !force {
                return Err(JoinError::Joined { path: config });
            }
            for name in FILES {
                match fs::rename(place.path(name), place.path(&format!("{name}.old"))) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(place)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The drone's key: the one a former try left, else a new one, on disk before it is told to anybody.
    pub(super) fn key(&self) -> Result<KeyPair, JoinError> {
        let path = self.path("drone.nk");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let pair = KeyPair::from_seed(text.trim()).map_err(|_| JoinError::BadKey { path: path.clone() })?;
                // whoever could read it until now knows it
                let private = fs::metadata(&path)?.permissions().mode() & 0o077 == 0;
                if private { Ok(pair) } else { Err(JoinError::BadKey { path }) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pair = KeyPair::new_user();
                let seed = pair.seed().map_err(|error| JoinError::Key(error.to_string()))?;
                self.write("drone.nk", &format!("{seed}\n"), 0o600)?;
                Ok(pair)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Appears whole or not at all, and survives a power cut.
    pub(super) fn write(&self, name: &str, text: &str, mode: u32) -> io::Result<()> {
        write_whole(&self.path(name), text.as_bytes(), mode)
    }
}

/// `drone.toml`. Without a root its section is there, commented out, with what belongs into it.
pub(super) fn config(
    place: &ConfigDir,
    invitation: &Invitation,
    has_authority: bool,
    state_dir: Option<&Path>,
    root: Option<&RootConfig>,
) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let mut text = format!(
        "# Written by `drone-agent join`; `drone-agent config example` shows every key.\nname = {}\ncredentials = {}\n",
        quoted(&invitation.name),
        path(&place.path("drone.nk")),
    );
    if let Some(dir) = state_dir {
        text += &format!("state_dir = {}\n", path(&std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())));
    }
    text += &format!("\n[bus]\nurl = {}\nprefix = {}\n", quoted(&invitation.bus), quoted(&invitation.prefix));
    if has_authority {
        text += &format!("ca = {}\n", path(&place.path("bus-ca.pem")));
    }
    match root {
        Some(root) => {
            let distfiles: Vec<String> = root.distfiles.iter().map(|dir| path(dir)).collect();
            text += &format!(
                "\n[root]\npath = {}\nvenv = {}\nrepository = {}\nprofile = {}\ndistfiles = [{}]\nbuild_profile = {}\n",
                path(&root.path),
                path(&root.venv),
                path(&root.repository),
                quoted(&root.profile),
                distfiles.join(", "),
                quoted(&root.build_profile),
            );
        }
        None => {
            text += &format!(
                "\n# Where it builds: make one with `drone-agent root create`, then take the # away and name it here.\n\
                 #[root]\n#path = \"/var/lib/build-swarm/roots/d1\"\n#venv = \"/var/lib/build-swarm/portage\"\n\
                 #repository = \"/var/db/repos/gentoo\"\n#profile = \"default/linux/amd64/23.0\"\n#build_profile = {}\n",
                quoted(invitation.profile.as_deref().unwrap_or_default()),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            id: "1".to_owned(),
            name: "forge".to_owned(),
            facade: "http://192.0.2.7:8100".to_owned(),
            bus: "tls://192.0.2.7:4222".to_owned(),
            prefix: "swarm.v1".to_owned(),
            authority: None,
            profile: Some("desk\"top".to_owned()),
            secret: "SUsecret".to_owned(),
            expires: 0,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_key_is_private_and_kept_for_the_next_try() {
        let dir = tempfile::tempdir().unwrap();
        let place = ConfigDir::prepare(&dir.path().join("not/yet/there"), false).unwrap();
        let first = place.key().unwrap().public_key();
        assert_eq!(mode(&place.path("drone.nk")), 0o600);
        assert_eq!(ConfigDir::prepare(&place.dir, false).unwrap().key().unwrap().public_key(), first);
        fs::set_permissions(place.path("drone.nk"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(place.key(), Err(JoinError::BadKey { .. })), "others have read it");
        fs::write(place.path("drone.nk"), "hello").unwrap();
        assert!(matches!(place.key(), Err(JoinError::BadKey { .. })));
    }

    #[test]
    fn a_machine_in_a_swarm_stays_there_unless_it_is_forced_to_leave() {
        let dir = tempfile::tempdir().unwrap();
        let place = ConfigDir::prepare(dir.path(), false).unwrap();
        let first = place.key().unwrap().public_key();
        place.write("drone.toml", "x", 0o600).unwrap();
        let refused = ConfigDir::prepare(dir.path(), false).unwrap_err();
        assert!(matches!(&refused, JoinError::Joined { .. }) && refused.to_string().contains("--force"), "{refused}");
        let again = ConfigDir::prepare(dir.path(), true).unwrap();
        assert_ne!(again.key().unwrap().public_key(), first);
        assert!(place.path("drone.nk.old").exists() && place.path("drone.toml.old").exists());
        assert!(!place.path("drone.toml").exists());
    }

    #[test]
    fn the_configuration_is_read_back_with_a_root_and_says_what_is_missing_without() {
        let dir = tempfile::tempdir().unwrap();
        let place = ConfigDir::prepare(dir.path(), false).unwrap();
        place.key().unwrap();
        let root = RootConfig {
            path: "/r".into(),
            venv: "/v".into(),
            repository: "/g".into(),
            profile: "default".to_owned(),
            build_profile: "desk\"top".to_owned(),
            ..RootConfig::default()
        };
        let text = config(&place, &invitation(), true, Some(Path::new("/s")), Some(&root));
        place.write("drone.toml", &text, 0o600).unwrap();
        let read = crate::config::Config::load(Some(&place.path("drone.toml"))).unwrap();
        assert_eq!((read.name.as_str(), read.bus.url.as_str()), ("forge", "tls://192.0.2.7:4222"));
        assert_eq!((read.bus.ca, read.state_dir), (Some(place.path("bus-ca.pem")), PathBuf::from("/s")));
        assert_eq!(read.roots, [root]);
        assert!(!text.contains("SUsecret"));
        let bare = config(&place, &invitation(), false, None, None);
        place.write("drone.toml", &bare, 0o600).unwrap();
        let missing = crate::config::Config::load(Some(&place.path("drone.toml"))).unwrap_err().to_string();
        assert!(missing.contains("drone-agent root create"), "{missing}");
    }
}
