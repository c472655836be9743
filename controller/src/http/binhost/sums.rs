//! What the indexes hold, summed up.

use std::collections::BTreeMap;

use swarm_api::{NewestPackage, seconds};
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow};

use crate::http::Reading;
use crate::http::error::ApiError;

/// What an index holds.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) packages: u64,
    pub(super) bytes: u64,
    pub(super) restricted: u64,
    pub(super) newest: Option<(u64, NewestPackage)>,
}

/// What all of them hold.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) indexes: BTreeMap<IndexKey, Sum>,
    pub(super) retired: u64,
    pub(super) retired_bytes: u64,
    /// Uploaded, and in no index yet.
    pub(super) pending: u64,
}

impl Sums {
    fn add(&mut self, row: ArtifactRow) {
        let restricted = row.is_restricted();
        match row.state {
            ArtifactState::Published { listed: Some(_), size_out, at, build_id, .. } => {
                let sum = self.indexes.entry(row.index).or_default();
                sum.packages += 1;
                sum.bytes += size_out;
                sum.restricted += u64::from(restricted);
                if sum.newest.as_ref().is_none_or(|(newest, _)| *newest <= at) {
                    sum.newest = Some((at, NewestPackage { package: row.cpv, build_id, published_at: seconds(at) }));
                }
            }
            ArtifactState::Retired { size, .. } => {
                self.retired += 1;
                self.retired_bytes += size;
            }
            ArtifactState::Published { .. } | ArtifactState::Uploaded { .. } => self.pending += 1,
            _ => {}
        }
    }
}

pub(super) async fn read(reading: &Reading) -> Result<(Vec<IndexRow>, Sums), ApiError> {
    reading
        .walk(|snapshot| {
            let mut sums = Sums::default();
            for artifact in snapshot.rows()? {
                sums.add(artifact);
            }
            Ok((snapshot.rows()?, sums))
        })
        .await
}
