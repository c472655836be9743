//! `swarm binhost …`: how a client uses it, what is in it, what goes out and what comes in.

mod check;
mod folder;
mod import;
mod packages;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use swarm_api::{BinhostAnswer, PrivateAnswer};

use super::screen::{self, Screen};
use super::{Context, Problem};

/// `swarm binhost …`
#[derive(Debug, Subcommand)]
pub enum BinhostCommand {
    /// How a Gentoo machine uses it: binrepos.conf and the commands that make Portage trust the key; and what is in it
    Show {
        /// Only the signing key's public half
        #[arg(long, conflicts_with = "private")]
        key: bool,
        /// How to get at packages with RESTRICT=bindist, too; needs the admin key
        #[arg(long)]
        private: bool,
    },
    /// Print the wgetrc that opens the restricted part; needs the admin key. Keep it where only root can read it
    Credentials,
    /// The packages it has
    List {
        /// category/name, =category/name-version, or a part of a name
        package: Option<String>,
        /// Only of this index: arch/build profile/CHOST
        #[arg(long)]
        index: Option<String>,
        /// Also those that left the index and whose files wait to be removed
        #[arg(long)]
        retired: bool,
    },
    /// Keep packages, whatever retention says
    Pin {
        /// Number, =category/name-version or category/name
        package: String,
    },
    /// Let retention have pinned packages again
    Unpin {
        /// Number, =category/name-version or category/name
        package: String,
    },
    /// Take packages out: of the index at once, of the disk when no client can ask for them any more
    Remove {
        /// Number or =category/name-version
        package: String,
        /// Also if an open session builds on it
        #[arg(long)]
        force: bool,
    },
    /// Apply retention now; it also runs by itself after each publication
    Gc {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring packages you have: every gpkg below a PKGDIR is checked, signed with the swarm's key and published
    #[command(long_about = import::HELP)]
    Import(import::ImportArgs),
    /// Recheck every published file and index, and mend what can be mended
    Verify {
        /// Queue damaged packages to be built again
        #[arg(long)]
        rebuild: bool,
        /// Go on even if most files are gone
        #[arg(long)]
        force: bool,
        /// Do not wait for the end
        #[arg(long)]
        no_wait: bool,
    },
    /// Write the index of a folder of packages from its files, as `emaint binhost --fix` does; needs no controller
    Index {
        /// The folder (PKGDIR); the header of the index it has is kept
        folder: PathBuf,
    },
}

/// Runs the command.
pub fn run(context: &Context, command: BinhostCommand) -> Result<ExitCode, Problem> {
    let done = match command {
        BinhostCommand::Show { key, private: false } => show(context, key),
        BinhostCommand::Show { private: true, .. } => private(context),
        BinhostCommand::Credentials => credentials(context),
        BinhostCommand::List { package, index, retired } => packages::list(context, package, index, retired),
        BinhostCommand::Pin { package } => packages::pin(context, package, true),
        BinhostCommand::Unpin { package } => packages::pin(context, package, false),
        BinhostCommand::Remove { package, force } => packages::remove(context, package, force),
        BinhostCommand::Gc { dry_run } => packages::collect(context, dry_run),
        BinhostCommand::Index { folder } => folder::write_index(&context.screen, &folder),
        BinhostCommand::Import(args) => return import::run(context, &args),
        BinhostCommand::Verify { rebuild, force, no_wait } => return check::run(context, rebuild, force, no_wait),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn show(context: &Context, key: bool) -> Result<(), Problem> {
    let answer: BinhostAnswer = context.client()?.get("/api/v1/binhost")?;
    if key && !context.screen.json {
        return context.screen.line(answer.public_key.trim_end());
    }
    context.screen.show(&answer, |answer| render(answer, &context.screen))
}

/// The answer without its secret: what is shown may be looked at over a shoulder.
fn private(context: &Context) -> Result<(), Problem> {
    let mut answer: PrivateAnswer = context.client()?.get_as_admin("/api/v1/binhost/private")?;
    (answer.secret, answer.wgetrc) = (String::new(), String::new());
    let file = PathBuf::from(swarm_binhost::snippet::CLIENT_WGETRC);
    context.screen.show(&answer, |answer| {
        if answer.indexes.is_empty() {
            return "nothing is published yet\n".to_owned();
        }
        let mut text = String::new();
        for index in &answer.indexes {
            text += &format!("{}\n{}\n", context.screen.bold(&index.index), index.url);
            text += &format!("\n/etc/portage/binrepos.conf/swarm.conf:\n\n{}\n\n", indented(&index.snippet));
        }
        let file = file.display();
        text + &format!(
            "as root, once, besides what `swarm binhost show` says (the admin key is asked for as for any command):\n\n    \
             umask 077; swarm binhost credentials > {file}\n"
        )
    })
}

fn credentials(context: &Context) -> Result<(), Problem> {
    let answer: PrivateAnswer = context.client()?.get_as_admin("/api/v1/binhost/private")?;
    if context.screen.json {
        return context.screen.show(&answer, |_| String::new());
    }
    context.screen.line(answer.wgetrc.trim_end())
}

/// How to use the binhost, as text.
pub fn render(answer: &BinhostAnswer, screen: &Screen) -> String {
    let mut text = format!("signing key  {}\n             {}\n", answer.fingerprint, answer.key_url);
    if answer.indexes.is_empty() {
        return text + "\nnothing is published yet; `swarm queue add category/name` changes that\n";
    }
    text += &format!("packages     {}, {}\n", answer.packages, screen::size(answer.size_bytes));
    if answer.retired > 0 {
        text += &format!(
            "             {} more, {}, have left their index and wait to be removed\n",
            answer.retired,
            screen::size(answer.retired_bytes)
        );
    }
    for index in &answer.indexes {
        let size = screen::size(index.size_bytes);
        let restricted = match index.restricted {
            0 => String::new(),
            some => format!(", {some} of them restricted: see --private"),
        };
        text += &format!("\n{} ({} packages, {size}{restricted})\n", screen.bold(&index.index), index.packages);
        if let Some(newest) = &index.newest {
            let (package, id, at) = (&newest.package, newest.build_id, screen::time(newest.published_at));
            text += &format!("newest: {package}, BUILD_ID {id}, {at}\n");
        }
        text += &format!("{}\n", index.url);
        text += &format!("\n/etc/portage/binrepos.conf/swarm.conf:\n\n{}\n", indented(&index.snippet));
        if !index.commands.is_empty() {
            text += &format!("\nas root, once:\n\n{}\n", indented(&index.commands.join("\n")));
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_api::{BinhostIndex, NewestPackage};

    #[test]
    fn what_is_in_it_is_shown_with_how_to_use_it() {
        let index = BinhostIndex {
            index: "amd64/base/x86_64-pc-linux-gnu".to_owned(),
            arch: "amd64".to_owned(),
            profile: "base".to_owned(),
            chost: "x86_64-pc-linux-gnu".to_owned(),
            url: "http://h/binhost/amd64/base/x86_64-pc-linux-gnu".to_owned(),
            timestamp: 5,
            packages: 3,
            size_bytes: 3 << 20,
            restricted: 1,
            newest: Some(NewestPackage { package: "a/b-1".to_owned(), build_id: 2, published_at: 0.0 }),
            snippet: "[swarm]\n".to_owned(),
            commands: vec!["getuto".to_owned()],
        };
        let answer = BinhostAnswer {
            url: Some(index.url.clone()),
            indexes: vec![index],
            fingerprint: "AB".to_owned(),
            public_key: String::new(),
            key_url: "http://h/key.asc".to_owned(),
            packages: 3,
            size_bytes: 3 << 20,
            retired: 2,
            retired_bytes: 5 << 20,
        };
        let text = render(&answer, &Screen::default());
        for line in [
            "packages     3, 3.0 MiB",
            "             2 more, 5.0 MiB, have left their index and wait to be removed",
            "amd64/base/x86_64-pc-linux-gnu (3 packages, 3.0 MiB, 1 of them restricted: see --private)",
            "    [swarm]",
            "    getuto",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains("newest: a/b-1, BUILD_ID 2, "), "{text}");
    }
}
