//! Binary packages made in memory, as Portage lays them out, for drones that do not build.

use anyhow::Result;
use blake2::Blake2b512;
use sha2::{Digest, Sha256, Sha512};
use swarm_protocol::Cpv;
use swarm_protocol::artifact::ArtifactRef;

fn tar(members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

/// A package of `cpv` (slot 0, no USE) with `image` as its contents, and what a drone says of it.
///
/// # Errors
/// When `cpv` is none.
pub fn package(cpv: &str, image: &[u8]) -> Result<(Vec<u8>, ArtifactRef)> {
    let parsed: Cpv = cpv.parse()?;
    let (pf, category) = (parsed.pf(), cpv.split('/').next().unwrap_or_default());
    let ebuild = format!("{pf}.ebuild");
    let keys = [
        ("BUILD_ID", "1"),
        ("BUILD_TIME", "1795449718\n"),
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
    let metadata: Vec<_> =
        keys.iter().map(|(key, value)| (format!("metadata/{key}"), value.as_bytes().to_vec())).collect();
    let mut members = vec![
        ("gpkg-1".to_owned(), Vec::new()),
        ("metadata.tar".to_owned(), tar(&metadata)?),
        ("image.tar".to_owned(), tar(&[("image/usr/share/x".to_owned(), image.to_vec())])?),
    ];
    let line = |(name, content): &(String, Vec<u8>)| {
        let (blake, sha) = (hex::encode(Blake2b512::digest(content)), hex::encode(Sha512::digest(content)));
        format!("DATA {name} {} BLAKE2B {blake} SHA512 {sha}\n", content.len())
    };
    let manifest: String = members.iter().map(line).collect();
    members.push(("Manifest".to_owned(), manifest.into_bytes()));
    let members: Vec<_> = members.into_iter().map(|(name, content)| (format!("{pf}-1/{name}"), content)).collect();
    let bytes = tar(&members)?;
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
