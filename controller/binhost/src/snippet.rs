//! What a client has to be told, as `swarm binhost show` prints it: the `binrepos.conf` section and the commands that make
//! Portage trust the binhost's key. A good signature is not enough for Portage, the key needs ownertrust; and it verifies as
//! the user `nobody`, who must be able to read the keyring.

use swarm_protocol::Secret;

/// Keyring Portage verifies with on a Gentoo machine (`getuto` makes it).
pub const PORTAGE_KEYRING: &str = "/etc/portage/gnupg";

/// Priority of the sections clients get: before every other binhost.
pub const CLIENT_PRIORITY: i32 = 9999;
/// Where a Gentoo client keeps user and secret of the restricted part.
pub const CLIENT_WGETRC: &str = "/etc/portage/swarm-binhost.wgetrc";

/// A section for `/etc/portage/binrepos.conf/<name>.conf`. A higher `priority` is preferred.
pub fn binrepos_conf(name: &str, base_url: &str, priority: i32) -> String {
    let name: String =
        name.chars().filter(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter)).collect();
    let url = one_line(base_url.trim_end_matches('/'));
    // an older Portage reads over a key it does not know, and would install anything
    let old = "# before Portage 3.0.77 put FEATURES=\"binpkg-request-signature\" into make.conf as well";
    format!("[{name}]\npriority = {priority}\nsync-uri = {url}\n{old}\nverify-signature = true\n")
}

/// A section for the complete index. User and secret stand in the file `wgetrc`, which only root can read: an address with
/// them would show in process lists and logs. Portage fetches by command then, the index too.
pub fn private_binrepos_conf(name: &str, base_url: &str, priority: i32, wgetrc: &str) -> String {
    let wget = format!("wget --config={} -nv -t 3 -T 60", one_line(wgetrc));
    let target = "-O \"${DISTDIR}/${FILE}\" \"${URI}\"";
    format!(
        "{}fetchcommand = {wget} {target}\nresumecommand = {wget} -c {target}\n",
        binrepos_conf(name, base_url, priority)
    )
}

/// The file [`private_binrepos_conf`] names.
pub fn wgetrc(user: &str, secret: &Secret) -> String {
    format!("auth_no_challenge = on\nhttp_user = {user}\nhttp_password = {}\n", one_line(&secret.0))
}

/// Commands, to be run as root, for a Gentoo machine. `key_url` gives the public key.
pub fn trust_on_gentoo(fingerprint: &str, key_url: &str) -> String {
    let keyring = PORTAGE_KEYRING;
    let mut lines = vec!["# make Portage's keyring, if this machine has none yet".to_owned(), "getuto".to_owned()];
    lines.extend(import(keyring, fingerprint, key_url));
    lines.push("# Portage verifies as nobody".to_owned());
    lines.push(format!("chmod go+rX {keyring} {keyring}/pubring.kbx {keyring}/trustdb.gpg"));
    lines.join("\n") + "\n"
}

/// The same with any other keyring, for example of a prefix; `make.conf` then names it in BINPKG_GPG_VERIFY_GPG_HOME.
pub fn trust_with_gpg(homedir: &str, fingerprint: &str, key_url: &str) -> String {
    let quoted = quote(homedir);
    let mut lines = vec![format!("mkdir -p -m 0700 {quoted}")];
    lines.extend(import(&quoted, fingerprint, key_url));
    lines.push("# Portage verifies as nobody".to_owned());
    lines.push(format!("chmod -R a+rX {quoted} && chown -R nobody {quoted}"));
    lines.push("# and in make.conf:".to_owned());
    lines.push(format!("#   BINPKG_GPG_VERIFY_GPG_HOME=\"{}\"", one_line(homedir)));
    lines.push("#   PORTAGE_TRUST_HELPER=\"\"".to_owned());
    lines.join("\n") + "\n"
}

/// Only the key of this fingerprint gets trust, so a key put in its place on the way stays worthless.
fn import(keyring: &str, fingerprint: &str, key_url: &str) -> [String; 4] {
    let fingerprint: String = fingerprint.chars().filter(char::is_ascii_hexdigit).collect();
    let url = quote(key_url);
    [
        format!("curl -fsS {url} | gpg --homedir {keyring} --batch --import"),
        format!("echo {fingerprint}:6: | gpg --homedir {keyring} --batch --import-ownertrust"),
        format!("gpg --homedir {keyring} --batch --check-trustdb"),
        format!("gpgconf --homedir {keyring} --kill all"),
    ]
}

fn one_line(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// One word for a POSIX shell.
fn quote(text: &str) -> String {
    let text = one_line(text);
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:+@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sign::SigningKey;

    #[test]
    fn the_section_demands_signatures() {
        let text = binrepos_conf("swarm", "http://farm:8100/binhost/amd64/base/x86_64-pc-linux-gnu/", 10);
        let expected = "[swarm]\npriority = 10\nsync-uri = http://farm:8100/binhost/amd64/base/x86_64-pc-linux-gnu\n";
        let (section, rest) = text.split_at(expected.len());
        assert_eq!(section, expected);
        assert!(rest.starts_with("# before Portage 3.0.77") && rest.ends_with("\nverify-signature = true\n"), "{rest}");
        assert!(!binrepos_conf("a]\n[b", "u\nverify-signature = false", 1).contains("\nverify-signature = false"));
    }

    #[test]
    fn a_shell_reads_what_was_meant() {
        for text in ["/etc/portage/gnupg", "a b", "it's", "$(touch x); `id`", "", "ü", "-x\"y"] {
            let output = Command::new("sh").args(["-c", &format!("printf %s {}", quote(text))]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn gentoo_machines_use_portages_own_keyring() {
        let text = trust_on_gentoo("AB12", "http://farm/binhost.asc");
        for line in [
            "getuto",
            "curl -fsS http://farm/binhost.asc | gpg --homedir /etc/portage/gnupg --batch --import",
            "echo AB12:6: | gpg --homedir /etc/portage/gnupg --batch --import-ownertrust",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[test]
    fn the_printed_commands_make_a_real_gpg_trust_the_key() {
        let dir = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
        let key = SigningKey::load_or_create(&dir.path().join("key"), "Test <test@test.invalid>").unwrap();
        let public = dir.path().join("binhost.asc");
        fs_err::write(&public, key.public_armored().unwrap()).unwrap();
        let home = dir.path().join("key ring");
        let home = home.to_str().unwrap();
        let script = trust_with_gpg(home, key.fingerprint(), &format!("file://{}", public.display()));
        // chown to nobody needs root, and curl is the network's business
        let script = script
            .lines()
            .map(|line| line.replace("curl -fsS file://", "cat ").replace(" && chown -R nobody", "; : "))
            .collect::<Vec<_>>()
            .join("\n");
        let run = Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let list = Command::new("gpg")
            .args(["--batch", "--no-autostart", "--with-colons", "--homedir", home, "--list-keys"])
            .output()
            .unwrap();
        let text = String::from_utf8(list.stdout).unwrap();
        assert!(text.lines().any(|line| line.starts_with("pub:u:")) && text.contains(key.fingerprint()), "{text}");
    }
}
