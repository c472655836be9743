//! Binary packages made in memory, as Portage lays them out: the layout for whoever makes packages, and small ones for drones
//! that do not build.

use anyhow::Result;
use blake2::Blake2b512;
use sha2::{Digest, Sha256, Sha512};
use swarm_protocol::Cpv;
use swarm_protocol::artifact::ArtifactRef;

/// When [`package`] was built, Unix seconds.
const BUILT: u64 = 1_795_449_718;

/// A tar of these files, all of one time (Unix seconds).
fn tar(members: &[(String, Vec<u8>)], mtime: u64) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(mtime);
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

/// The tar of a package's metadata, one file per key.
///
/// # Errors
/// When a key is too long for a header.
pub fn metadata<'a>(fields: impl IntoIterator<Item = (&'a str, Vec<u8>)>, mtime: u64) -> Result<Vec<u8>> {
    let members: Vec<_> = fields.into_iter().map(|(key, value)| (format!("metadata/{key}"), value)).collect();
    tar(&members, mtime)
}

/// The package of `pf`, built once: these members behind the mark of a gpkg, with their Manifest.
///
/// # Errors
/// When a name is too long for a tar header.
pub fn pack<const N: usize>(pf: &str, members: [(&str, Vec<u8>); N], mtime: u64) -> Result<Vec<u8>> {
    let mut members: Vec<(String, Vec<u8>)> =
        [("gpkg-1", Vec::new())].into_iter().chain(members).map(|(name, content)| (name.to_owned(), content)).collect();
    let line = |(name, content): &(String, Vec<u8>)| {
        let (blake, sha) = (hex::encode(Blake2b512::digest(content)), hex::encode(Sha512::digest(content)));
        format!("DATA {name} {} BLAKE2B {blake} SHA512 {sha}\n", content.len())
    };
    let manifest: String = members.iter().map(line).collect();
    members.push(("Manifest".to_owned(), manifest.into_bytes()));
    members.iter_mut().for_each(|(name, _)| *name = format!("{pf}-1/{name}"));
    tar(&members, mtime)
}

/// A package of `cpv` (slot 0, no USE) with `image` as its contents, and what a drone says of it.
///
/// # Errors
/// When `cpv` is none.
pub fn package(cpv: &str, image: &[u8]) -> Result<(Vec<u8>, ArtifactRef)> {
    let parsed: Cpv = cpv.parse()?;
    let (pf, category) = (parsed.pf(), cpv.split('/').next().unwrap_or_default());
    let (ebuild, build_time) = (format!("{pf}.ebuild"), format!("{BUILT}\n"));
    let keys = [
        ("BUILD_ID", "1"),
        ("BUILD_TIME", &build_time),
        ("CATEGORY", category),
        ("CHOST", "x86_64-pc-linux-gnu\n"),
        ("DEFINED_PHASES", "compile install\n"),
        ("EAPI", "8\n"),
        ("KEYWORDS", "amd64\n"),
        ("LICENSE", "MIT\n"),
        ("PF", &pf),
        ("SLOT", "0\n"),
        ("USE", "amd64\n"),
        (&ebuild, "EAPI=8\n"),
        ("repository", "hive\n"),
    ];
    let image = tar(&[("image/usr/share/x".to_owned(), image.to_vec())], BUILT)?;
    let keys = keys.map(|(key, value)| (key, value.as_bytes().to_vec()));
    let bytes = pack(&pf, [("metadata.tar", metadata(keys, BUILT)?), ("image.tar", image)], BUILT)?;
    let artifact = ArtifactRef {
        cpv: cpv.to_owned(),
        slot: "0".to_owned(),
        repository: "hive".to_owned(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        size: bytes.len() as u64,
        use_flags: Vec::new(),
    };
    Ok((bytes, artifact))
}
