//! `swarm completions` and `swarm man`: both made from the command line's own definition, so neither can be stale.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use serde_json::json;

use super::screen::Screen;
use super::{Context, Problem};

/// `swarm completions`
#[derive(Debug, Args)]
#[command(after_help = "\
bash:  swarm completions bash > ~/.local/share/bash-completion/completions/swarm
zsh:   swarm completions zsh > DIR/_swarm, with DIR in $fpath
fish:  swarm completions fish > ~/.config/fish/completions/swarm.fish")]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    shell: Shell,
}

/// `swarm man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for every command into this directory, instead of printing the first one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The script for a shell.
pub fn completions(screen: &Screen, args: &CompletionsArgs, mut command: Command) -> Result<(), Problem> {
    let (mut script, name) = (Vec::new(), command.get_name().to_owned());
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    screen.line(String::from_utf8_lossy(&script).trim_end())
}

/// The page, or all pages into a directory.
pub fn man(context: &Context, args: &ManArgs, command: Command) -> Result<(), Problem> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return context.screen.line(String::from_utf8_lossy(&page).trim_end());
    };
    let written = write_all(dir, command)?;
    context.screen.show(&json!({ "dir": dir, "pages": written }), |_| {
        format!("{} pages in {}; read them with `man -l {}/swarm.1`", written.len(), dir.display(), dir.display())
    })
}

/// Writes a page for every command that is not hidden; gives their names.
fn write_all(dir: &Path, command: Command) -> Result<Vec<String>, Problem> {
    fs_err::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
        .map_err(|error| Problem::new("can't write the pages").with(format!("{}: {error}", dir.display())))?;
    let mut names = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("swarm") && name.ends_with(".1") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
