//! Small disks that a test can fill: a tmpfs of a fixed size. Mounting one needs root; who has not gets none, and says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A mounted tmpfs, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes at `dir`, which is made. `None`, said aloud, if this user may not mount.
    ///
    /// # Errors
    /// When it can't be made for another reason.
    pub fn mount(dir: &Path, bytes: u64) -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            println!(
                "NOT TESTED: a disk of a fixed size can be mounted by root only; run the tests as root to try a full disk"
            );
            return Ok(None);
        }
        fs_err::create_dir_all(dir)?;
        // open to pass as the directory it covers
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes},mode=0711"), "tmpfs"], dir)?;
        Ok(Some(Self { dir: dir.to_owned() }))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes free.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn free(&self) -> Result<u64> {
        let stat = nix::sys::statvfs::statvfs(&self.dir)?;
        Ok(stat.blocks_available() * stat.fragment_size())
    }

    /// Fills it up to the last byte.
    ///
    /// # Errors
    /// When it can't be filled.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = fs_err::File::create(self.ballast())?;
        let piece = vec![0u8; 4096];
        loop {
            match std::io::Write::write_all(&mut ballast, &piece) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("fill the disk"),
            }
        }
    }

    /// Takes away what [`SmallDisk::fill`] put there.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn clear(&self) -> Result<()> {
        Ok(fs_err::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join(".ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that was killed a moment ago may still hold it
        let _ = run("umount", &["-l"], &self.dir);
    }
}

fn run(program: &str, words: &[&str], path: &Path) -> Result<()> {
    let output = Command::new(program).args(words).arg(path).output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
