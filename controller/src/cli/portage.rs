//! What this machine wants of Portage: its world file and its package.use. Reads files; runs nothing.

use std::path::Path;

use swarm_protocol::Atom;
use swarm_protocol::atom::is_package_use_line;

use super::problem::Problem;

/// Files of package.use read at most.
const MAX_FILES: usize = 1000;

/// Atoms of the world file below `root`; sets in it are left out.
///
/// # Errors
/// When there is none, or it has lines that are no atoms.
pub fn world(root: &Path) -> Result<Vec<String>, Problem> {
    let path = root.join("var/lib/portage/world");
    let text = fs_err::read_to_string(&path).map_err(|error| {
        Problem::new("can't read the world file").with(error).next("name packages, or the machine's root with --root")
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '@']));
    let mut atoms = Vec::new();
    for line in lines {
        line.parse::<Atom>()
            .map_err(|error| Problem::new(format!("{} has a line that is no atom", path.display())).with(error))?;
        atoms.push(line.to_owned());
    }
    if atoms.is_empty() {
        return Err(Problem::new("the world file names no packages").with(path.display()));
    }
    Ok(atoms)
}

/// Lines of `/etc/portage/package.use`, a file or a folder, below `root`; none if there is none.
///
/// # Errors
/// When it can't be read, or has lines the swarm does not take.
pub fn package_use(root: &Path) -> Result<Vec<String>, Problem> {
    let top = root.join("etc/portage/package.use");
    let mut files = Vec::new();
    collect(&top, &mut files)?;
    let mut lines = Vec::new();
    for file in files {
        for line in fs_err::read_to_string(&file)?.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if !is_package_use_line(line) {
                return Err(
                    Problem::new("a line of package.use is not understood").with(format!("{}: {line}", file.display()))
                );
            }
            lines.push(line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    Ok(lines)
}

/// Files in Portage's order: by name, without hidden ones and backups.
fn collect(path: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<(), Problem> {
    let Ok(found) = fs_err::metadata(path) else { return Ok(()) };
    if found.is_file() {
        if files.len() == MAX_FILES {
            return Err(Problem::new(format!("package.use has more than {MAX_FILES} files")));
        }
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries =
        fs_err::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with('~') {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
