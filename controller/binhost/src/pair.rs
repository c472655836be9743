//! The two indexes of one folder: what the public may have, and everything. The complete one is kept and written only while a
//! restricted package (RESTRICT with `bindist`) is there; without it both are the same file, served at both addresses.
//!
//! Both have the same TIMESTAMP, so it rises for a drone whichever of the two stands behind its address.

use std::collections::BTreeMap;
use std::path::Path;

use swarm_core::rows::is_restricted;

use super::index::{Generation, Index, IndexError};
use super::stanza::Stanza;

/// Both indexes of a folder, in memory.
#[derive(Default)]
pub struct Pair {
    header: BTreeMap<String, String>,
    public: Index,
    complete: Option<Index>,
    restricted: usize,
}

/// Whether the public must not have it.
pub fn is_private(stanza: &Stanza) -> bool {
    is_restricted(stanza.get("RESTRICT"))
}

impl Pair {
    /// Empty indexes with the builder's header.
    pub fn new(header: BTreeMap<String, String>) -> Self {
        Self { public: Index::new(header.clone()), header, complete: None, restricted: 0 }
    }

    /// Replaces the header.
    pub fn set_header(&mut self, header: BTreeMap<String, String>) {
        self.public.set_header(header.clone());
        if let Some(complete) = &mut self.complete {
            complete.set_header(header.clone());
        }
        self.header = header;
    }

    /// Lists a package where it belongs, in place of one with the same CPV and BUILD_ID.
    pub fn insert(&mut self, stanza: Stanza) {
        self.remove(stanza.cpv(), stanza.build_id());
        if !is_private(&stanza) {
            if let Some(complete) = &mut self.complete {
                complete.insert(stanza.clone());
            }
            self.public.insert(stanza);
            return;
        }
        let complete = self.complete.get_or_insert_with(|| {
            let mut complete = Index::new(self.header.clone());
            for listed in self.public.stanzas() {
                complete.insert(listed.clone());
            }
            complete
        });
        complete.insert(stanza);
        self.restricted += 1;
    }

    /// Lists it no more.
    pub fn remove(&mut self, cpv: &str, build_id: u32) {
        let public = self.public.remove(cpv, build_id);
        let found = self.complete.as_mut().and_then(|complete| complete.remove(cpv, build_id));
        if public.is_none() && found.is_some() {
            self.restricted -= 1;
        }
        if self.restricted == 0 {
            self.complete = None;
        }
    }

    /// Everything that is listed.
    pub fn complete(&self) -> &Index {
        self.complete.as_ref().unwrap_or(&self.public)
    }

    /// Restricted packages.
    pub fn restricted(&self) -> usize {
        self.restricted
    }

    /// Writes a generation of both: the public one into `public`, the complete one into `private`, or none there if nothing
    /// is restricted.
    ///
    /// # Errors
    /// As [`Index::write`]; one of the two may be written then.
    pub fn write(&mut self, public: &Path, private: &Path, timestamp: u64) -> Result<Generation, IndexError> {
        let generation = self.public.write(public, timestamp)?;
        match &mut self.complete {
            Some(complete) => complete.write(private, timestamp),
            None => {
                let gone = |source| IndexError::Write { dir: private.to_owned(), source };
                for name in ["Packages.gz", "Packages"] {
                    match fs_err::remove_file(private.join(name)) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(gone(error)),
                        Ok(()) | Err(_) => {}
                    }
                }
                Ok(generation)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(cpv: &str, build_id: u32, restrict: &str) -> Stanza {
        let keys = [
            ("CPV", cpv.to_owned()),
            ("BUILD_ID", build_id.to_string()),
            ("PATH", format!("{cpv}-{build_id}.gpkg.tar")),
            ("RESTRICT", restrict.to_owned()),
        ];
        Stanza::from_map(keys.map(|(key, value)| (key.to_owned(), value)).into()).unwrap()
    }

    fn read(dir: &Path) -> Option<String> {
        fs_err::read_to_string(dir.join("Packages")).ok()
    }

    #[test]
    fn a_restricted_package_is_in_the_complete_index_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (public, private) = (dir.path().join("public"), dir.path().join("private"));
        let mut pair = Pair::new([("CHOST".to_owned(), "x".to_owned())].into());
        pair.insert(stanza("a/free-1", 1, ""));
        pair.insert(stanza("a/mirrored-1", 1, "mirror test"));
        pair.write(&public, &private, 1).unwrap();
        assert_eq!(read(&private), None);

        pair.insert(stanza("a/bound-1", 1, "mirror bindist"));
        pair.write(&public, &private, 2).unwrap();
        let (shown, all) = (read(&public).unwrap(), read(&private).unwrap());
        assert!(shown.contains("PACKAGES: 2\n") && shown.contains("TIMESTAMP: 2\n") && !shown.contains("bound"));
        assert!(all.contains("PACKAGES: 3\n") && all.contains("TIMESTAMP: 2\n") && all.contains("a/bound-1"));
        assert!(all.contains("a/free-1") && pair.restricted() == 1 && pair.complete().len() == 3);

        pair.insert(stanza("a/free-2", 1, ""));
        pair.remove("a/free-1", 1);
        pair.set_header([("CHOST".to_owned(), "y".to_owned())].into());
        pair.write(&public, &private, 3).unwrap();
        let all = read(&private).unwrap();
        assert!(all.contains("a/free-2") && !all.contains("a/free-1") && all.contains("CHOST: y\n"), "{all}");

        pair.remove("a/bound-1", 1);
        pair.write(&public, &private, 4).unwrap();
        assert_eq!((read(&private), pair.restricted()), (None, 0), "the public one stands for both");
        assert!(!private.join("Packages.gz").exists());
    }

    #[test]
    fn a_package_whose_restriction_changes_moves() {
        let mut pair = Pair::default();
        for (restrict, restricted, public) in [("", 0, 1), ("bindist", 1, 0), ("bindist", 1, 0), ("", 0, 1)] {
            pair.insert(stanza("a/b-1", 1, restrict));
            assert_eq!((pair.restricted(), pair.public.len(), pair.complete().len()), (restricted, public, 1));
        }
        pair.remove("a/b-1", 1);
        pair.remove("a/b-1", 1);
        assert!(pair.complete().is_empty());
    }
}
