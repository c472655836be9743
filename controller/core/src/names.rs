//! The rules for names. That for the names of drones and tappers stands once: configuration, invitations, hellos and the files of their keys
//! all ask here, so that a name that one of them takes is taken by all.

/// The build profile of who names none, drones and requests alike.
pub(crate) const DEFAULT_PROFILE: &str = "default";
/// Longest name; a label of a host name has no more.
pub(crate) const MAX_NAME: usize = 63;

/// The rule in words, for whoever is refused.
pub const NAME_RULE: &str = "letters, digits, dot, underscore and hyphen, at most 63; the first is a letter or a digit";

/// What can name a drone or a tapper, in file names and addresses too.
pub fn is_drone_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
}

/// A word that may name a folder.
pub(crate) fn is_label(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_everywhere_or_nowhere() {
        let longest = "x".repeat(MAX_NAME);
        for name in ["a", "7", "drone-1", "a_b", "a.b", "Build-Host_2.example.org", "a-", "a.", "a_", &longest] {
            assert!(is_drone_name(name), "{name:?}");
        }
        let too_long = "x".repeat(MAX_NAME + 1);
        for name in ["", "-x", "_x", ".x", "..", "a b", "a/b", "../x", "a\n", "a*", "a>", "dröhne", &too_long] {
            assert!(!is_drone_name(name), "{name:?}");
        }
        assert!(NAME_RULE.contains(&MAX_NAME.to_string()));
    }
}
