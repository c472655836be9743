//! Package names as the Package Manager Specification has them (PMS 3.1, 3.2, 8.3): `category/name-version` and atoms.
//! Only syntax is decided here; which package an atom means is Portage's business.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a text is no package name or atom.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AtomError {
    /// No `category/` in front.
    #[error("{0:?} has no category; write category/name")]
    NoCategory(String),
    /// Category with characters PMS forbids.
    #[error("{0:?} is not a category name")]
    BadCategory(String),
    /// Package name with characters PMS forbids.
    #[error("{0:?} is not a package name")]
    BadName(String),
    /// An operator without a version behind it.
    #[error("{0:?} has an operator but no version")]
    NoVersion(String),
    /// A version without an operator.
    #[error("{0:?} names a version; write ={0}")]
    NoOperator(String),
    /// Malformed slot, repository or USE part.
    #[error("{part:?} is not a valid {what}")]
    BadPart {
        /// What it should have been.
        what: &'static str,
        /// What it was.
        part: String,
    },
    /// Blockers can't be built.
    #[error("{0:?} is a blocker; it names nothing to build")]
    Blocker(String),
    /// Longer than any real name.
    #[error("atom of {0} bytes is too long")]
    TooLong(usize),
}

/// Longest atom taken.
const MAX_ATOM: usize = 512;

/// An exact version: `category/name-version[-rN]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpv {
    category: String,
    name: String,
    version: String,
}

impl Cpv {
    /// Category.
    pub fn category(&self) -> &str {
        &self.category
    }

    /// Name without version (PN).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version with revision (PVR).
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `category/name`: what learned durations are kept by.
    pub fn cp(&self) -> String {
        format!("{}/{}", self.category, self.name)
    }

    /// `name-version` (PF).
    pub fn pf(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

impl fmt::Display for Cpv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.category, self.name, self.version)
    }
}

impl FromStr for Cpv {
    type Err = AtomError;

    /// Parses `category/name-version`, with or without a leading `=`.
    fn from_str(text: &str) -> Result<Self, AtomError> {
        let bare = text.strip_prefix('=').unwrap_or(text);
        if bare.len() > MAX_ATOM {
            return Err(AtomError::TooLong(bare.len()));
        }
        let (category, rest) = split_category(bare)?;
        let (name, version) = split_version(rest).ok_or_else(|| AtomError::NoVersion(bare.to_owned()))?;
        if !is_name(name) {
            return Err(AtomError::BadName(name.to_owned()));
        }
        Ok(Self { category: category.to_owned(), name: name.to_owned(), version: version.to_owned() })
    }
}

/// What a user asks for: `[op]category/name[-version][:slot][::repository][use]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom {
    /// `=`, `~`, `>=`, `<=`, `>`, `<`; none without a version.
    pub operator: Option<&'static str>,
    /// Category.
    pub category: String,
    /// Name (PN).
    pub name: String,
    /// Version with revision; `*` at its end for `=name-1*`.
    pub version: Option<String>,
    /// Slot part without the colon.
    pub slot: Option<String>,
    /// Repository.
    pub repository: Option<String>,
    /// USE dependencies without the brackets.
    pub use_deps: Option<String>,
}

impl Atom {
    /// The one version it can mean, if it is `=` without a wildcard.
    pub fn exact(&self) -> Option<Cpv> {
        match (self.operator, &self.version) {
            (Some("="), Some(version)) if !version.ends_with('*') => {
                Some(Cpv { category: self.category.clone(), name: self.name.clone(), version: version.clone() })
            }
            _ => None,
        }
    }

    /// `category/name`.
    pub fn cp(&self) -> String {
        format!("{}/{}", self.category, self.name)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.operator.unwrap_or(""), self.category, self.name)?;
        if let Some(version) = &self.version {
            write!(f, "-{version}")?;
        }
        if let Some(slot) = &self.slot {
            write!(f, ":{slot}")?;
        }
        if let Some(repository) = &self.repository {
            write!(f, "::{repository}")?;
        }
        if let Some(use_deps) = &self.use_deps {
            write!(f, "[{use_deps}]")?;
        }
        Ok(())
    }
}

impl FromStr for Atom {
    type Err = AtomError;

    /// Parses an atom as Portage's command line takes it.
    fn from_str(text: &str) -> Result<Self, AtomError> {
        if text.len() > MAX_ATOM {
            return Err(AtomError::TooLong(text.len()));
        }
        if text.starts_with('!') {
            return Err(AtomError::Blocker(text.to_owned()));
        }
        let (rest, use_deps) = take_use(text)?;
        let (rest, repository) = match rest.split_once("::") {
            Some((rest, repo)) => (rest, Some(checked("repository", repo, is_repository)?)),
            None => (rest, None),
        };
        let (rest, slot) = match rest.split_once(':') {
            Some((rest, slot)) => (rest, Some(checked("slot", slot, is_slot)?)),
            None => (rest, None),
        };
        let operator = [">=", "<=", "=", "~", ">", "<"].into_iter().find(|op| rest.starts_with(op));
        let rest = &rest[operator.map_or(0, str::len)..];
        let (category, package) = split_category(rest)?;
        let (name, version) = match (operator, package.strip_suffix('*')) {
            (Some("="), Some(stem)) => {
                let (name, version) = split_version(stem).ok_or_else(|| AtomError::NoVersion(rest.to_owned()))?;
                (name, Some(format!("{version}*")))
            }
            (Some(_), _) => {
                let (name, version) = split_version(package).ok_or_else(|| AtomError::NoVersion(rest.to_owned()))?;
                (name, Some(version.to_owned()))
            }
            (None, _) if split_version(package).is_some() => return Err(AtomError::NoOperator(rest.to_owned())),
            (None, _) => (package, None),
        };
        if !is_name(name) {
            return Err(AtomError::BadName(name.to_owned()));
        }
        Ok(Self { operator, category: category.to_owned(), name: name.to_owned(), version, slot, repository, use_deps })
    }
}

fn checked(what: &'static str, part: &str, good: fn(&str) -> bool) -> Result<String, AtomError> {
    if good(part) { Ok(part.to_owned()) } else { Err(AtomError::BadPart { what, part: part.to_owned() }) }
}

fn take_use(text: &str) -> Result<(&str, Option<String>), AtomError> {
    let Some(start) = text.find('[') else { return Ok((text, None)) };
    let inner = text[start + 1..].strip_suffix(']').unwrap_or("");
    let good = |dep: &str| {
        let core = dep.trim_start_matches(['-', '!']).trim_end_matches(['?', '=']);
        let core = core.strip_suffix("(+)").or_else(|| core.strip_suffix("(-)")).unwrap_or(core);
        is_use_flag(core)
    };
    if inner.is_empty() || !inner.split(',').all(good) {
        return Err(AtomError::BadPart { what: "USE dependency", part: text[start..].to_owned() });
    }
    Ok((&text[..start], Some(inner.to_owned())))
}

fn split_category(text: &str) -> Result<(&str, &str), AtomError> {
    let (category, rest) = text.split_once('/').ok_or_else(|| AtomError::NoCategory(text.to_owned()))?;
    if !starts_and_holds(category, "_", "_+.-") {
        return Err(AtomError::BadCategory(category.to_owned()));
    }
    Ok((category, rest))
}

/// Whether `text` is one flag of USE (PMS 3.1.4).
pub fn is_use_flag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+_@-".contains(c))
}

/// Whether `text` is one line of `package.use`: an atom (or `*/*`) and flags.
pub fn is_package_use_line(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let Some(first) = words.next() else { return false };
    if text.len() > 4096 || text.chars().any(char::is_control) {
        return false;
    }
    let head_is_good = first == "*/*" || first.parse::<Atom>().is_ok();
    let flag = |word: &str| {
        is_use_flag(word.strip_prefix('-').unwrap_or(word))
            || word == "-*"
            || word.strip_suffix(':').is_some_and(is_use_flag)
    };
    head_is_good && words.clone().next().is_some() && words.all(flag)
}

fn starts_and_holds(text: &str, start: &str, hold: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || start.contains(c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || hold.contains(c))
}

fn is_name(text: &str) -> bool {
    starts_and_holds(text, "_", "_+-") && split_version(text).is_none()
}

fn is_repository(text: &str) -> bool {
    starts_and_holds(text, "_", "_-")
}

fn is_slot(text: &str) -> bool {
    let core = text.strip_suffix('=').unwrap_or(text);
    if core.is_empty() || core == "*" {
        return true;
    }
    core.splitn(2, '/').all(|part| starts_and_holds(part, "_", "_+.-"))
}

/// Splits `name-version[-rN]`; `None` if no version stands at the end.
fn split_version(text: &str) -> Option<(&str, &str)> {
    let last = text.rfind('-')?;
    let tail = &text[last + 1..];
    let is_revision = tail.strip_prefix('r').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let cut = if is_revision { text[..last].rfind('-').filter(|&at| is_version(&text[at + 1..last]))? } else { last };
    let version = if is_revision { &text[cut + 1..last] } else { tail };
    (cut > 0 && is_version(version)).then(|| (&text[..cut], &text[cut + 1..]))
}

/// PMS 3.2 without revision: `1.2.3a_alpha4_p5`.
fn is_version(text: &str) -> bool {
    let (numbers, suffixes) = text.split_once('_').map_or((text, None), |(n, s)| (n, Some(s)));
    let numbers = numbers.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(numbers);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let suffix = |part: &str| {
        ["alpha", "beta", "pre", "rc", "p"]
            .into_iter()
            .any(|name| part.strip_prefix(name).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())))
    };
    numbers.split('.').all(digits) && suffixes.is_none_or(|s| s.split('_').all(suffix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn real_names_split_where_portage_splits_them() {
        for (text, name, version) in [
            ("media-fonts/font-adobe-100dpi-1.0.4", "font-adobe-100dpi", "1.0.4"),
            ("sys-devel/gcc-14.2.1_p20241221-r7", "gcc", "14.2.1_p20241221-r7"),
            ("x11-libs/gtk+-3.24.43", "gtk+", "3.24.43"),
            ("dev-libs/libsigc++-2.12.1", "libsigc++", "2.12.1"),
            ("app-text/docbook-xml-dtd-4.1.2-r7", "docbook-xml-dtd", "4.1.2-r7"),
            ("dev-lang/python-3.13.0_rc3", "python", "3.13.0_rc3"),
            ("net-misc/openssh-9.9_p1-r3", "openssh", "9.9_p1-r3"),
            ("dev-libs/openssl-1.1.1w", "openssl", "1.1.1w"),
            ("media-libs/x264-0.0.20240314", "x264", "0.0.20240314"),
            ("dev-python/pkg-1-resources-2", "pkg-1-resources", "2"),
            ("virtual/libc-1-r1", "libc", "1-r1"),
        ] {
            let cpv: Cpv = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((cpv.name(), cpv.version()), (name, version), "{text}");
            assert_eq!(cpv.to_string(), text);
            assert_eq!(format!("={text}").parse::<Atom>().unwrap().exact(), Some(cpv));
        }
    }

    #[test]
    fn what_is_no_exact_version_is_refused() {
        for text in [
            "app-misc/hello",
            "hello-1",
            "app-misc/hello-",
            "app-misc/hello-1.x",
            "-a/b-1",
            "a/b-1-2",
            "",
            "/",
            "a/-1",
            "../etc-1",
            "a b/c-1",
        ] {
            assert!(text.parse::<Cpv>().is_err(), "{text}");
        }
    }

    #[test]
    fn atoms_parse_with_all_their_parts() {
        for text in [
            "app-misc/hello",
            "=app-misc/hello-1.0",
            "=app-misc/hello-1*",
            "~app-misc/hello-1.0",
            ">=app-misc/hello-1.0-r1:0/2=",
            "app-misc/hello:2::gentoo[foo,-bar,baz(+)?]",
            "app-misc/hello:*",
            "app-misc/hello:=",
        ] {
            let atom: Atom = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(atom.to_string(), text);
        }
    }

    #[test]
    fn malformed_atoms_say_what_is_wrong() {
        let refusal = |text: &str| text.parse::<Atom>().unwrap_err().to_string();
        assert_eq!(refusal("hello"), "\"hello\" has no category; write category/name");
        assert_eq!(refusal("app-misc/hello-1.0"), "\"app-misc/hello-1.0\" names a version; write =app-misc/hello-1.0");
        assert_eq!(refusal("=app-misc/hello"), "\"app-misc/hello\" has an operator but no version");
        assert!(refusal("!app-misc/hello").contains("blocker"));
        assert!(refusal("app-misc/hello[]").contains("USE dependency"));
        assert!(refusal("app-misc/hello:0/ /").contains("slot"));
        assert!(refusal(&format!("a/{}", "b".repeat(600))).contains("too long"));
    }

    #[test]
    fn package_use_lines_are_atoms_and_flags() {
        for good in
            ["app-misc/calc greet -debug", "*/* -X", ">=dev-lang/python-3.12 ssl", "*/* PYTHON_TARGETS: -* python3_12"]
        {
            assert!(is_package_use_line(good), "{good}");
        }
        for bad in ["", "app-misc/calc", "greet", "app-misc/calc $(x)", "app-misc/calc a\nb c", "app-misc/calc --x"] {
            assert!(!is_package_use_line(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_well_formed_name_is_read_back(
            category in "[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5})?",
            name in "[a-z][a-z+]{0,6}(-[a-z][a-z0-9]{0,5}){0,2}",
            version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}[a-z]?(_(alpha|beta|pre|rc|p)[0-9]{0,3}){0,2}(-r[0-9]{1,2})?",
        ) {
            let text = format!("{category}/{name}-{version}");
            let cpv: Cpv = text.parse().unwrap();
            prop_assert_eq!(cpv.category(), category);
            prop_assert_eq!(cpv.name(), name);
            prop_assert_eq!(cpv.version(), version);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Atom>();
            let _ = text.parse::<Cpv>();
            let _ = is_package_use_line(&text);
        }
    }
}
