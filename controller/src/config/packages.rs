//! What holds for single packages and build profiles, as lists of lines: `www-client/chromium total=24h memory=16GiB`, and
//! `server=ssd+big`.

use std::collections::BTreeMap;

use swarm_core::settings::PackageRule;
use swarm_protocol::Atom;

use super::value::{Raw, Size, Span, Value};

const LINE: &str = "www-client/chromium total=24h silence=2h memory=16GiB tags=big+ssd";

impl Value for BTreeMap<String, PackageRule> {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        Vec::<String>::read(raw)?.iter().map(|line| rule(line)).collect()
    }

    fn show(&self) -> Option<String> {
        self.iter().map(|(cp, rule)| shown(cp, rule)).collect::<Vec<String>>().show()
    }
}

fn rule(line: &str) -> Result<(String, PackageRule), String> {
    let wrong = |what: &str| format!("{line:?} {what}; a line looks like {LINE:?}");
    let mut words = line.split_whitespace();
    let cp = words.next().unwrap_or_default();
    let plain = |atom: Atom| atom.to_string() == atom.cp();
    if !cp.parse::<Atom>().is_ok_and(plain) {
        return Err(wrong("does not begin with category/name"));
    }
    let mut rule = PackageRule::default();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| wrong(&format!("has {word:?}, which says nothing")))?;
        let span = || Span::read(Raw::Text(value)).map(|span| span.0).map_err(|why| wrong(&why));
        match key {
            "total" => rule.total_ms = Some(span()?),
            "silence" => rule.silence_ms = Some(span()?),
            "memory" => rule.memory_bytes = Size::read(Raw::Text(value)).map_err(|why| wrong(&why))?.0,
            "tags" => rule.tags = tags(value),
            _ => return Err(wrong(&format!("has {key:?}; there are total, silence, memory and tags"))),
        }
    }
    if rule == PackageRule::default() {
        return Err(wrong("says nothing about it"));
    }
    Ok((cp.to_owned(), rule))
}

fn shown(cp: &str, rule: &PackageRule) -> String {
    let bare = |value: Option<String>| value.unwrap_or_default().replace(['"', ' '], "");
    let mut text = cp.to_owned();
    for (key, span) in [("total", rule.total_ms), ("silence", rule.silence_ms)] {
        if let Some(ms) = span {
            text += &format!(" {key}={}", bare(Span(ms).show()));
        }
    }
    if rule.memory_bytes > 0 {
        text += &format!(" memory={}", bare(Size(rule.memory_bytes).show()));
    }
    if !rule.tags.is_empty() {
        text += &format!(" tags={}", rule.tags.join("+"));
    }
    text
}

impl Value for BTreeMap<String, Vec<String>> {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let pair = |line: &String| {
            let (name, list) = line.split_once('=').filter(|(name, list)| !name.is_empty() && !list.is_empty())?;
            Some((name.trim().to_owned(), tags(list)))
        };
        let wrong = |line: &String| format!("{line:?} is not a build profile with tags such as \"server=ssd+big\"");
        Vec::<String>::read(raw)?.iter().map(|line| pair(line).ok_or_else(|| wrong(line))).collect()
    }

    fn show(&self) -> Option<String> {
        self.iter().map(|(name, tags)| format!("{name}={}", tags.join("+"))).collect::<Vec<String>>().show()
    }
}

/// Tags are parted by a plus, since lists in the environment are parted by commas.
fn tags(text: &str) -> Vec<String> {
    text.split('+').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_holds_for_a_package() {
        let lines = format!("{LINE}, dev-lang/rust memory=12GiB");
        let read = BTreeMap::<String, PackageRule>::read(Raw::Text(&lines)).unwrap();
        let (big, hour) = (&read["www-client/chromium"], 3_600_000);
        assert_eq!((big.total_ms, big.silence_ms, big.memory_bytes), (Some(24 * hour), Some(2 * hour), 16 << 30));
        assert_eq!(big.tags, ["big", "ssd"]);
        assert_eq!(read["dev-lang/rust"], PackageRule { memory_bytes: 12 << 30, ..PackageRule::default() });
        let text = read.show().unwrap();
        assert_eq!(BTreeMap::read(Raw::File(&format!("x = {text}").parse::<toml::Table>().unwrap()["x"])), Ok(read));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_with_what_is_wrong() {
        for (line, says) in [
            ("chromium total=1h", "category/name"),
            ("=www-client/chromium-1 total=1h", "category/name"),
            ("www-client/chromium", "says nothing about it"),
            ("www-client/chromium total=soon", "is not a duration"),
            ("www-client/chromium memory=much", "is not a size"),
            ("www-client/chromium cores=3", "there are total, silence, memory and tags"),
            ("www-client/chromium quickly", "which says nothing"),
        ] {
            let why = BTreeMap::<String, PackageRule>::read(Raw::Text(line)).unwrap_err();
            assert!(why.contains(says) && why.contains("a line looks like"), "{why}");
        }
        assert!(BTreeMap::<String, Vec<String>>::read(Raw::Text("server")).unwrap_err().contains("server=ssd"));
    }
}
