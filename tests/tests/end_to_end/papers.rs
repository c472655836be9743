//! The papers are true: links lead somewhere, the book lists every page, the configuration's reference and examples are what
//! the programs print. `SWARM_BLESS=1` writes the generated parts anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use swarm_tests::tools;

/// Every Markdown page of the book and of the project's top.
fn pages() -> Result<Vec<PathBuf>> {
    let docs = tools::project().join("docs");
    let mut open = vec![docs];
    let mut found = vec![tools::project().join("README.md"), tools::project().join("CHANGELOG.md")];
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Targets of a page's links and images.
fn links(text: &str) -> Vec<String> {
    Parser::new(text)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
            _ => None,
        })
        .collect()
}

/// Anchors of a page's headings, as mdBook makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut found, mut heading) = (BTreeSet::new(), None::<String>);
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let words = heading.take().unwrap_or_default().to_lowercase();
                let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let mut checked = 0;
    for page in pages()? {
        let text = fs_err::read_to_string(&page)?;
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            ensure!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let known = anchors(&fs_err::read_to_string(&target)?);
                ensure!(known.contains(anchor), "{}: {link}: there are only {known:?}", page.display());
            }
            checked += 1;
        }
    }
    ensure!(checked > 10, "only {checked} links were found");
    Ok(())
}

#[test]
fn the_book_lists_every_page() -> Result<()> {
    let docs = tools::project().join("docs");
    let listed: BTreeSet<PathBuf> =
        links(&fs_err::read_to_string(docs.join("SUMMARY.md"))?).iter().map(|link| docs.join(link)).collect();
    for page in pages()?.into_iter().filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md")) {
        ensure!(listed.contains(&page), "{} is not in SUMMARY.md", page.display());
    }
    Ok(())
}

fn printed(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(tools::program(program)?).args(arguments).output().context("run the program")?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn same(path: &Path, wanted: &str) -> Result<()> {
    if std::env::var_os("SWARM_BLESS").is_some() {
        fs_err::create_dir_all(path.parent().context("a folder")?)?;
        fs_err::write(path, wanted)?;
    }
    let found = fs_err::read_to_string(path)?;
    ensure!(found == wanted, "{} is stale; SWARM_BLESS=1 renews it", path.display());
    Ok(())
}

#[test]
fn the_configuration_is_documented_as_the_programs_print_it() -> Result<()> {
    let project = tools::project();
    let (controller, drone) =
        (printed("swarm", &["config", "example"])?, printed("drone-agent", &["config", "example"])?);
    same(&project.join("packaging/config/controller.toml"), &controller)?;
    same(&project.join("packaging/config/drone.toml"), &drone)?;
    let page = format!(
        "# Configuration\n\nOne TOML file per program. Each key is also an environment variable, and some are flags; a flag \
         wins over the environment, that over the file, that over the default. Unknown keys are an error that names the \
         nearest known one. Durations are written as \"90s\" or \"1h 30m\", sizes as \"256MiB\". `swarm config check` and \
         `drone-agent config check` say everything that is wrong, without starting anything.\n\n## The controller\n\n\
         `/etc/build-swarm/controller.toml`, for a user `~/.config/build-swarm/controller.toml`. The admin key is never in \
         it: `ADMIN_KEY` in the environment, else `admin.key` in the data directory, made at the first start.\n\n{}\n## A \
         drone\n\n`/etc/build-swarm/drone.toml`, for a user `~/.config/build-swarm/drone.toml`.\n\n```toml\n{drone}```\n",
        printed("swarm", &["config", "reference"])?,
    );
    same(&project.join("docs/configuration.md"), &page)
}

#[test]
fn every_test_a_page_names_is_there() -> Result<()> {
    let mut checked = 0;
    for page in pages()? {
        let text = fs_err::read_to_string(&page)?;
        let named = Parser::new(&text).filter_map(|event| match event {
            Event::Code(words) => words.split_once("::").map(|(file, test)| (file.to_owned(), test.to_owned())),
            _ => None,
        });
        for (file, test) in named {
            let folder = tools::project().join("tests/tests");
            let places =
                [format!("end_to_end/{file}.rs"), format!("end_to_end/{file}/mod.rs"), format!("{file}/main.rs")];
            let source = places.iter().find_map(|place| fs_err::read_to_string(folder.join(place)).ok());
            // other paths of Rust are not meant
            let Some(source) = source else { continue };
            ensure!(source.contains(&format!("#[test]\nfn {test}()")), "{}: no test {file}::{test}", page.display());
            checked += 1;
        }
    }
    ensure!(checked > 10, "only {checked} tests are named");
    Ok(())
}

#[test]
fn no_paper_names_a_place_of_the_machine_it_was_written_on() -> Result<()> {
    for page in pages()? {
        let text = fs_err::read_to_string(&page)?;
        for bad in ["/root/", "/home/", "/work/"] {
            ensure!(!text.contains(bad), "{} names {bad}", page.display());
        }
    }
    Ok(())
}

/// What is written as code on a page, a line each.
fn code(text: &str) -> Vec<String> {
    let (mut found, mut block) = (Vec::new(), false);
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => block = true,
            Event::End(TagEnd::CodeBlock) => block = false,
            Event::Text(lines) if block => found.extend(lines.lines().map(str::to_owned)),
            Event::Code(words) => found.push(words.into_string()),
            _ => {}
        }
    }
    found
}

/// The words of a command of ours, as far as a person would type them so; `--help` after them must be understood.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        // a shell goes on here, or what follows is a choice or left out
        if word.starts_with(['#', '|', '>', '&', '<', '[', '\\']) || word.contains(['|', '…', '"', '\'', '$', '(', '*'])
        {
            break;
        }
        if word.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            continue;
        }
        words.push(word.trim_end_matches([';', ',']).to_owned());
        if word.ends_with(';') {
            break;
        }
    }
    (words.len() > 1 && ["swarm", "drone-agent"].contains(&words[0].as_str())).then_some(words)
}

#[test]
fn every_command_on_a_page_is_one_the_programs_know() -> Result<()> {
    let mut commands = BTreeSet::new();
    for page in pages()? {
        for words in code(&fs_err::read_to_string(&page)?).iter().filter_map(|line| command(line)) {
            commands.insert((words, page.clone()));
        }
    }
    ensure!(commands.len() > 60, "commands are found: {}", commands.len());
    let mut wrong = Vec::new();
    for (words, page) in commands {
        let run = Command::new(tools::program(&words[0])?).args(&words[1..]).arg("--help").output()?;
        let said = String::from_utf8_lossy(&run.stderr);
        let first = said.lines().next().unwrap_or_default();
        // an option whose value was left out is known
        if !run.status.success() && !first.starts_with("error: a value is required for '--") {
            wrong.push(format!("{}: {}: {first}", page.display(), words.join(" ")));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
