//! The list of keys as pages for people: the commented example, and the reference.

use super::keys::KEYS;
use super::sections::Config;

/// A commented file with every key. Keys with a default stand there with it, the others are commented out.
pub fn example() -> String {
    let defaults = Config::default();
    let mut text = String::from(
        "# Build Swarm controller. Every value below is the default, so an empty file does as well.\n\
         # Each key is also an environment variable, named with it. Flags win over the environment, that over this file.\n\
         # The admin key is never in this file: it is made at the first start in <data_dir>/admin.key, or set by the\n\
         # environment variable ADMIN_KEY.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            text.push_str(&format!("\n[{of}]\n"));
            section = of;
        }
        text.push('\n');
        for line in key.doc {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("# Environment: {}\n", key.variable()));
        match (key.show)(&defaults) {
            Some(value) => text.push_str(&format!("{name} = {value}\n")),
            None => text.push_str(&format!("#{name} = {}\n", key.sample)),
        }
    }
    text
}

/// Every key as a page of Markdown: docs/configuration.md, which a test keeps true.
pub fn reference() -> String {
    let defaults = Config::default();
    let mut text = String::new();
    let mut section = None;
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != Some(of) {
            text.push_str(&if of.is_empty() { "### At the top\n".to_owned() } else { format!("\n### `[{of}]`\n") });
            section = Some(of);
        }
        let value = match (key.show)(&defaults) {
            Some(value) => format!("default `{value}`"),
            None => format!("unset by default; for example `{}`", key.sample),
        };
        let doc = key.doc.join(" ").replace('<', "&lt;");
        text.push_str(&format!("\n- `{name}`: {value}; environment `{}`\n\n  {doc}\n", key.variable()));
    }
    text
}
