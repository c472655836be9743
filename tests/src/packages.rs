//! Binary packages made without Portage, as many as wanted: sound gpkg files with metadata as long and as varied as those of
//! real packages. Portage's own tools read and list them, and so does the controller. The same number gives the same file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use swarm_protocol::Cpv;

use crate::{Chance, gpkg};

/// CHOST of every package.
pub const CHOST: &str = "x86_64-pc-linux-gnu";

/// What a package is, as its metadata says.
#[derive(Debug, Clone)]
pub struct Package {
    /// `category/name-version`.
    pub cpv: String,
    /// SLOT.
    pub slot: String,
    /// Repository it came from.
    pub repository: String,
    /// Enabled flags of its IUSE, sorted.
    pub use_flags: Vec<String>,
    /// Flags of its IUSE that are off.
    pub off: Vec<String>,
    /// DEPEND and RDEPEND.
    pub depend: String,
    /// Unix seconds of the build; also every file's time.
    pub build_time: u64,
    /// Bytes of the image, which do not compress.
    pub image: usize,
    /// Seed of the image.
    pub seed: u64,
}

impl Package {
    /// The `number`th of a large binhost: names, flags and dependencies vary with it.
    pub fn numbered(number: u64) -> Self {
        let category = pick(&["app-misc", "dev-libs", "dev-python", "media-libs", "net-misc", "sys-apps"], number);
        let name =
            pick(&["libquick", "fastbox", "tinytool", "grand-server", "py-parser", "codec", "shellfish"], number / 6);
        let off: Vec<String> = flags(number / 3, 9);
        let mut use_flags: Vec<String> = flags(number, 5).into_iter().filter(|flag| !off.contains(flag)).collect();
        use_flags.sort_unstable();
        let needs = (0..3 + number % 5).map(|n| need(number.wrapping_mul(31) + n));
        Self {
            cpv: format!("{category}/{name}-{}.{}.{number}", 1 + number % 7, number / 7 % 13),
            slot: if number.is_multiple_of(5) { format!("0/{}", number % 90) } else { "0".to_owned() },
            repository: "gentoo".to_owned(),
            use_flags,
            off,
            depend: needs.collect::<Vec<_>>().join(" "),
            build_time: 1_790_000_000 + number,
            image: 8_000 + usize::try_from(number % 4_000).unwrap_or(0),
            seed: number,
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the name is none, or too long for a tar header.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let cpv: Cpv = self.cpv.parse().ok().with_context(|| format!("{} is no package version", self.cpv))?;
        let members = [
            ("metadata.tar.zst", zstd::encode_all(self.metadata(&cpv)?.as_slice(), 3)?),
            ("image.tar.zst", Chance::new(self.seed).bytes(self.image)),
        ];
        gpkg::pack(&cpv.pf(), members, self.build_time)
    }

    fn metadata(&self, cpv: &Cpv) -> Result<Vec<u8>> {
        let iuse: Vec<String> = self.use_flags.iter().map(|flag| format!("+{flag}")).chain(self.off.clone()).collect();
        let enabled: Vec<&str> = ["amd64", "elibc_glibc", "kernel_linux"]
            .into_iter()
            .chain(self.use_flags.iter().map(String::as_str))
            .collect();
        let guarded = match self.off.first() {
            Some(flag) => format!("{} {flag}? ( dev-libs/never-there )", self.depend),
            None => self.depend.clone(),
        };
        let needed = format!("x86_64: libc.so.6 libm.so.6 lib{}.so.{}", cpv.name(), self.seed % 9);
        let fields = [
            ("BDEPEND", "virtual/pkgconfig >=dev-build/cmake-3.28.5".to_owned()),
            ("BUILD_ID", "1".to_owned()),
            ("BUILD_TIME", self.build_time.to_string()),
            ("CATEGORY", cpv.category().to_owned()),
            ("CHOST", CHOST.to_owned()),
            ("DEFINED_PHASES", "compile configure install prepare test".to_owned()),
            ("DEPEND", guarded.clone()),
            ("DESCRIPTION", format!("Package {} of a large binhost", self.seed)),
            ("EAPI", "8".to_owned()),
            ("IUSE", iuse.join(" ")),
            ("KEYWORDS", "~alpha amd64 arm arm64 ~hppa ppc ppc64 ~riscv ~s390 sparc x86".to_owned()),
            ("LICENSE", "GPL-2+ LGPL-2.1+".to_owned()),
            ("PF", cpv.pf()),
            ("PROVIDES", format!("x86_64: lib{}.so.{}", cpv.name(), self.seed % 9)),
            ("RDEPEND", guarded),
            ("REQUIRES", needed),
            ("SIZE", (self.image * 3).to_string()),
            ("SLOT", self.slot.clone()),
            ("USE", enabled.join(" ")),
            ("repository", self.repository.clone()),
        ];
        let ebuild = format!("{}.ebuild", cpv.pf());
        let fields = fields.iter().map(|(key, value)| (*key, format!("{value}\n").into_bytes()));
        // what a real one carries besides: its ebuild and its environment
        let besides = [
            (ebuild.as_str(), b"EAPI=8\ninherit cmake\n".repeat(60)),
            ("environment.bz2", Chance::new(self.seed ^ 0x5eed).bytes(2_000)),
        ];
        gpkg::metadata(fields.chain(besides), self.build_time)
    }

    /// Writes it below an index's folder, where Portage keeps it: `<cat>/<pn>/<pf>-1.gpkg.tar`, with its build's time.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, index: &Path) -> Result<PathBuf> {
        let cpv: Cpv = self.cpv.parse().ok().with_context(|| format!("{} is no package version", self.cpv))?;
        let folder = index.join(cpv.category()).join(cpv.name());
        fs_err::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-1.gpkg.tar", cpv.pf()));
        fs_err::write(&path, self.encode()?)?;
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.build_time);
        fs_err::File::options().write(true).open(&path)?.set_modified(at)?;
        Ok(path)
    }
}

fn pick<'a>(from: &[&'a str], number: u64) -> &'a str {
    from[usize::try_from(number % from.len() as u64).unwrap_or(0)]
}

fn flags(number: u64, most: u64) -> Vec<String> {
    const FLAGS: [&str; 16] = [
        "acl",
        "bzip2",
        "doc",
        "examples",
        "gui",
        "introspection",
        "ipv6",
        "lto",
        "ncurses",
        "nls",
        "pcre",
        "ssl",
        "static-libs",
        "systemd",
        "test",
        "zstd",
    ];
    let mut found: Vec<String> =
        (0..1 + number % most).map(|n| pick(&FLAGS, number.wrapping_mul(7) + n * 3).to_owned()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn need(number: u64) -> String {
    let name = pick(&["glib", "openssl", "libxml2", "zlib", "expat", "libffi", "pcre2", "sqlite"], number);
    match number % 3 {
        0 => format!(">=dev-libs/{name}-{}.{}:0/{}=", 1 + number % 4, number % 60, number % 7),
        1 => format!("dev-libs/{name}:={}", if number.is_multiple_of(2) { "" } else { "[ssl(+)?]" }),
        _ => format!("|| ( dev-libs/{name} dev-libs/{name}-compat )"),
    }
    .replace(":=[", ":0[")
    .replace("[ssl(+)?]", "[ssl(+)]")
}

#[cfg(test)]
mod tests {
    use swarm_binhost::gpkg::{Limits, inspect};

    use super::*;

    #[test]
    fn the_controller_takes_them_all() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..300 {
            let package = Package::numbered(number);
            let path = package.write(dir.path()).unwrap();
            let found = inspect(&path, &Limits::default()).unwrap_or_else(|error| panic!("{package:?}: {error:?}"));
            assert_eq!((found.cpv.to_string(), found.slot.clone()), (package.cpv, package.slot));
            assert_eq!(found.use_flags(), package.use_flags);
        }
    }
}
