//! A Gentoo Prefix of its own with real Portage: a client of the binhost, or somebody who built packages without a swarm.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::PROFILE;
use crate::tools;

/// The prefix.
pub struct Client {
    /// Its directory.
    pub root: PathBuf,
    venv: PathBuf,
}

impl Client {
    /// Makes one at `root`; with an address and a public key it installs from there, and only what is signed.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn make(root: PathBuf, binhost: Option<(&str, &str)>) -> Result<Self> {
        let material = tools::repository()?;
        let venv = tools::tool("portage.sh", &[])?;
        let mut command = Command::new(tools::program("drone-agent")?);
        command.args(["root", "create", "--prefix"]).arg(&root).arg("--repository").arg(material.join("repository"));
        command.arg("--distfiles").arg(material.join("distfiles")).arg("--portage").arg(&venv);
        command.args(["--profile", PROFILE]);
        if let Some((url, key)) = binhost {
            let file = root.with_extension("asc");
            fs_err::create_dir_all(file.parent().context("a folder")?)?;
            fs_err::write(&file, key)?;
            command.args(["--binhost-url", url, "--binhost-key"]).arg(file);
        }
        let made = command.output()?;
        if !made.status.success() {
            bail!("root create: {}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
        }
        Ok(Self { root, venv })
    }

    /// Its PKGDIR.
    pub fn pkgdir(&self) -> PathBuf {
        self.root.join("var/cache/binpkgs")
    }

    /// Whether a package is installed.
    pub fn has(&self, cpv: &str) -> bool {
        self.root.join("var/db/pkg").join(cpv).is_dir()
    }

    /// Runs emerge; whether it succeeds is the caller's business.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn emerge(&self, arguments: &[&str]) -> Result<(Output, String)> {
        let root = self.root.display();
        let path = format!("{}:{root}/tools:/usr/sbin:/usr/bin:/sbin:/bin", self.venv.join("bin").display());
        let output = Command::new(self.venv.join("bin/emerge"))
            .args(["--oneshot", "--nospinner", "--color=n"])
            .args(arguments)
            .env_clear()
            .envs([("HOME", format!("{root}/tmp")), ("PATH", path), ("PORTAGE_OVERRIDE_EPREFIX", root.to_string())])
            .envs([("TERM", "dumb"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "1"), ("NOCOLOR", "true")])
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        Ok((output, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Runs emerge, which must succeed; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn emerged(&self, arguments: &[&str]) -> Result<String> {
        let (output, said) = self.emerge(arguments)?;
        if !output.status.success() {
            bail!("emerge {arguments:?}: {said}");
        }
        Ok(said)
    }

    /// Writes the only section of its `binrepos.conf`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn binrepos(&self, text: &str) -> Result<()> {
        let folder = self.root.join("etc/portage/binrepos.conf");
        fs_err::create_dir_all(&folder)?;
        fs_err::write(folder.join("swarm.conf"), text)?;
        Ok(())
    }

    /// A file in its configuration.
    pub fn portage(&self, name: &str) -> PathBuf {
        Path::new(&self.root).join("etc/portage").join(name)
    }
}
