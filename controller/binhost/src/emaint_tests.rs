//! Our index against `emaint binhost --fix` of real Portage over the same files: equal to the byte but for TIMESTAMP. Needs
//! what `make setup` puts below `.tools/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::gpkg::Limits;
use super::index::Index;
use super::publish::sign_into;
use super::samples::{Sample, sample};
use super::sign::SigningKey;
use super::snippet;

const VERSIONS: [&str; 2] = ["3.0.83", "3.0.82.2"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A prefix with Portage, whose PKGDIR is what we published.
struct Prefix {
    dir: tempfile::TempDir,
    key: SigningKey,
}

impl Prefix {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("emaint").tempdir().unwrap();
        let key = SigningKey::load_or_create(&dir.path().join("key"), "Test <test@test.invalid>").unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in
            ["etc/portage/repos.conf", "share/portage/config", "var/db/pkg", "var/cache/edb/dep", "var/tmp", "pkg"]
        {
            fs_err::create_dir_all(at(folder)).unwrap();
        }
        let repository = project().join("tests/repository");
        let repos =
            format!("[DEFAULT]\nmain-repo = demo\n[demo]\nlocation = {}\nauto-sync = no\n", repository.display());
        fs_err::write(at("etc/portage/repos.conf/demo.conf"), repos).unwrap();
        fs_err::os::unix::fs::symlink(repository.join("profiles/default/amd64"), at("etc/portage/make.profile"))
            .unwrap();
        fs_err::write(at("share/portage/config/repos.conf"), "").unwrap();
        Self { dir, key }
    }

    fn pkgdir(&self) -> PathBuf {
        self.dir.path().join("pkg")
    }

    /// Publishes `count` packages, no two alike, and answers their index.
    fn publish(&self, count: usize) -> Index {
        let mut index = Index::default();
        let upload = self.dir.path().join("upload.gpkg.tar");
        for n in 0..count {
            let (sample, build_id) = varied(n);
            fs_err::write(&upload, sample.build()).unwrap();
            let signed =
                sign_into(&upload, &self.pkgdir(), &sample.path(build_id), build_id, &self.key, &Limits::default())
                    .unwrap();
            index.insert(signed.stanza);
        }
        index
    }

    /// What emaint makes of the folder, with the signatures verified or not looked at.
    fn emaint(&self, version: &str, verify: bool) -> String {
        let venv = project().join(".tools").join(format!("portage-{version}"));
        assert!(
            venv.join("bin/emaint").exists(),
            "no Portage {version} in {}; `make setup` puts it there",
            venv.display()
        );
        let config = self.dir.path().join("share/portage/config");
        for name in ["make.globals", "sets"] {
            drop(fs_err::remove_file(config.join(name)));
            fs_err::os::unix::fs::symlink(venv.join("share/portage/config").join(name), config.join(name)).unwrap();
        }
        let features = if verify { "binpkg-request-signature" } else { "binpkg-ignore-signature" };
        let make_conf = format!(
            "PORTAGE_USERNAME=\"root\"\nPORTAGE_GRPNAME=\"root\"\nPKGDIR=\"{}\"\nFEATURES=\"-sandbox -usersandbox -userpriv {features}\"\n\
             BINPKG_GPG_VERIFY_GPG_HOME=\"{}\"\nPORTAGE_TRUST_HELPER=\"\"\nGPG_VERIFY_USER_DROP=\"\"\nGPG_VERIFY_GROUP_DROP=\"\"\n",
            self.pkgdir().display(),
            self.keyring().display(),
        );
        fs_err::write(self.dir.path().join("etc/portage/make.conf"), make_conf).unwrap();
        for name in ["Packages", "Packages.gz"] {
            drop(fs_err::remove_file(self.pkgdir().join(name)));
        }
        let output = Command::new(venv.join("bin/emaint"))
            .args(["binhost", "--fix"])
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", venv.join("bin").display()))
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env("PORTAGE_OVERRIDE_EPREFIX", self.dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "emaint {version}: {}", String::from_utf8_lossy(&said));
        fs_err::read_to_string(self.pkgdir().join("Packages")).unwrap()
    }

    fn keyring(&self) -> PathBuf {
        self.dir.path().join("keyring")
    }

    /// Lets gpg trust our key, by the commands we print.
    fn trust(&self) {
        let public = self.dir.path().join("binhost.asc");
        fs_err::write(&public, self.key.public_armored().unwrap()).unwrap();
        let home = self.keyring().display().to_string();
        let script = snippet::trust_with_gpg(&home, self.key.fingerprint(), &format!("file://{}", public.display()));
        let script = script.replace("curl -fsS file://", "cat ").replace(&format!(" && chown -R nobody {home}"), "");
        let run = Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // what gpg started would outlive the test
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.keyring()).args(["--kill", "all"]).output();
    }
}

/// A package that differs from the others in what an index could get wrong.
fn varied(n: usize) -> (Sample, u32) {
    let pick = |from: &[&str], by: usize| from[n / by % from.len()].to_owned();
    let name = format!("pkg{}-{}", n / 3, pick(&["1.0", "1.10", "1.9-r2"], 1));
    let mut sample = sample()
        .with("PF", &name)
        .with("CATEGORY", &pick(&["app-misc\n", "dev-libs\n", "x11-libs\n", "app-misc-x\n"], 6))
        .with("EAPI", &pick(&["8", "7", "0"], 2))
        .with("SLOT", &pick(&["0", "2", "0/1.5", "3/3"], 3))
        .with("USE", &pick(&["amd64 color", "amd64 nls", "amd64 color nls", "amd64"], 5))
        .with("CHOST", &pick(&["x86_64-pc-linux-gnu", "x86_64-pc-linux-gnu", "i686-pc-linux-gnu"], 7))
        .with(
            "RDEPEND",
            &pick(&["", "color? ( a/b[nls?] ) !nls? ( a/c )", "|| ( a/b ( a/c a/d ) )", ">=a/b-2:0/1= !!a/old"], 4),
        )
        .with("BDEPEND", &pick(&["", "  virtual/pkgconfig\n\t>=dev-build/make-4 "], 3))
        .with("LICENSE", &pick(&["MIT", "nls? ( GPL-2+ ) color? ( || ( BSD MIT ) )", "all-rights-reserved"], 2))
        .with("RESTRICT", &pick(&["", "test", "!nls? ( bindist ) mirror"], 3))
        .with("PROPERTIES", &pick(&["", "live"], 9))
        .with("BUILD_TIME", &format!("{}\n", 1_700_000_000 + n));
    for (key, value) in [
        ("IDEPEND", "a/i"),
        ("PDEPEND", "color? ( a/p )"),
        ("PROVIDES", "x86_64: liba.so.1"),
        ("USER_PATCHES", "fix.patch"),
    ] {
        if (n + key.len()).is_multiple_of(4) {
            sample = sample.with(key, value);
        }
    }
    sample.folder = format!("{name}-1");
    // some packages have several builds
    (sample, 1 + u32::try_from(n % 2).unwrap() * 9)
}

/// The lines that must be equal. USER_PATCHES came with 3.0.83; older ones neither write nor read it.
fn compared<'a>(text: &'a str, version: &str) -> Vec<&'a str> {
    let known = |line: &&str| version == "3.0.83" || !line.starts_with("USER_PATCHES: ");
    text.lines().filter(|line| !line.starts_with("TIMESTAMP: ")).filter(known).collect()
}

fn header_of(text: &str) -> BTreeMap<String, String> {
    let block = text.split("\n\n").next().unwrap();
    super::stanza::parse_lines(block).unwrap()
}

fn is_what_emaint_writes(count: usize, verify: bool) {
    let prefix = Prefix::new();
    let mut index = prefix.publish(count);
    if verify {
        prefix.trust();
    }
    for version in VERSIONS {
        let emaints = prefix.emaint(version, verify);
        // the header is the builder's, told by a drone; that it is Portage's own is a test of the agent
        index.set_header(header_of(&emaints));
        let ours = index.text(1);
        let (ours, theirs) = (compared(&ours, version), compared(&emaints, version));
        let differs = ours.iter().zip(&theirs).position(|(one, other)| one != other);
        let around = |lines: &[&str], at: usize| lines[at.saturating_sub(25)..lines.len().min(at + 3)].join("\n");
        if let Some(at) = differs {
            panic!("{version} differs at line {at}\nours:\n{}\n\ntheirs:\n{}", around(&ours, at), around(&theirs, at));
        }
        assert_eq!(ours.len(), theirs.len(), "{version}");
        assert_eq!(index.len(), count);
    }
}

#[test]
fn eight_packages_with_their_signatures_verified() {
    is_what_emaint_writes(8, true);
}

// ten thousand: `make bench BENCH=index`
#[test]
fn three_hundred_packages() {
    is_what_emaint_writes(300, false);
}
