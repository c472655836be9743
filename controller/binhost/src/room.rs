//! Whether there is room for one more package. Below a part of the disk nothing more is taken: a full disk would stop the
//! store as well, and every drone keeps what it made until it is taken.

use std::io;
use std::path::Path;

use thiserror::Error;

/// Why nothing is taken.
#[derive(Debug, Error)]
pub enum RoomError {
    /// Too little would be left.
    #[error(
        "the disk of {place} has {free} of {size} MiB free; with a package of {package} MiB less than {percent} % \
         would be left"
    )]
    Full {
        /// The folder.
        place: String,
        /// MiB free.
        free: u64,
        /// MiB of the disk, without what is kept for root.
        size: u64,
        /// MiB of the package.
        package: u64,
        /// Percent that are kept.
        percent: u32,
    },
    /// The disk could not be asked.
    #[error("ask the disk of {0} for its room")]
    Unknown(String, #[source] io::Error),
}

/// Whether each of these folders' disks keeps `percent` free with `package` bytes more.
pub fn check(folders: &[&Path], package: u64, percent: u32) -> Result<(), RoomError> {
    for folder in folders {
        let name = || folder.display().to_string();
        let disk = nix::sys::statvfs::statvfs(*folder).map_err(|error| RoomError::Unknown(name(), error.into()))?;
        let unit = disk.fragment_size();
        let free = disk.blocks_available() * unit;
        // as df counts: what is kept for root is nobody's room
        let size = (disk.blocks() - disk.blocks_free()) * unit + free;
        let left = u128::from(free.saturating_sub(package));
        if left * 100 < u128::from(size) * u128::from(percent) {
            let mib = |bytes: u64| bytes >> 20;
            let (free, size, package) = (mib(free), mib(size), mib(package));
            return Err(RoomError::Full { place: name(), free, size, package, percent });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_names_the_disk_and_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(&[dir.path()], 0, 0).is_ok());
        let full = check(&[dir.path()], 0, 100).unwrap_err().to_string();
        assert!(full.contains(&dir.path().display().to_string()) && full.contains("less than 100 %"), "{full}");
        // a package larger than the disk
        assert!(matches!(check(&[dir.path()], u64::MAX, 1), Err(RoomError::Full { .. })));
        assert!(check(&[dir.path()], u64::MAX, 0).is_ok(), "nothing is to be kept");
        assert!(matches!(check(&[Path::new("/nonexistent")], 0, 5), Err(RoomError::Unknown(..))));
    }
}
