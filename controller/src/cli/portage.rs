//! What this machine wants of Portage: its world file and its package.use. Reads files; runs nothing.

use std::io::ErrorKind;
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
            let words = line.split('#').next().unwrap_or_default();
            // people align flags by tabs
            let line = words.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            if line.is_empty() {
                continue;
            }
            if !is_package_use_line(&line) {
                return Err(
                    Problem::new("a line of package.use is not understood").with(format!("{}: {line}", file.display()))
                );
            }
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Files in Portage's order: by name, without hidden ones and backups.
fn collect(path: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<(), Problem> {
    let found = match fs_err::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // without it the swarm would build other packages than this machine wants
        Err(error) => return Err(Problem::new("can't read package.use").with(error)),
    };
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cli::problem::Exit;

    /// A machine's root with these files.
    fn root(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
        root
    }

    const WORLD: &str = "var/lib/portage/world";
    const USE: &str = "etc/portage/package.use";

    #[test]
    fn the_world_is_read_as_portage_writes_it_and_sets_are_left_out() {
        let text = "# by hand\n\napp-misc/waggle\n  dev-libs/libcomb:2 \n@selected\n@live-rebuild\n=app-misc/hen-1.0\napp-misc/x::hive\n";
        let root = root(&[(WORLD, text.as_bytes())]);
        let atoms = world(root.path()).unwrap();
        assert_eq!(atoms, ["app-misc/waggle", "dev-libs/libcomb:2", "=app-misc/hen-1.0", "app-misc/x::hive"]);
    }

    #[test]
    fn a_world_that_is_missing_empty_or_nonsense_is_an_error_that_says_where() {
        let missing = world(root(&[]).path()).unwrap_err();
        assert_eq!((missing.what.as_str(), missing.exit), ("can't read the world file", Exit::Error));
        assert!(missing.with.unwrap().contains(WORLD) && missing.next.unwrap().contains("--root"));
        for (text, what) in [
            (&b""[..], "names no packages"),
            (b"# nothing\n@world\n", "names no packages"),
            (b"app-misc/waggle\nwaggle\n", "has a line that is no atom"),
            (b"app-misc/waggle dev-libs/libcomb\n", "has a line that is no atom"),
            (b"app-misc/waggle\n\xff\xfe\n", "can't read the world file"),
        ] {
            let problem = world(root(&[(WORLD, text)]).path()).unwrap_err().render(false);
            assert!(problem.contains(what) && problem.contains(WORLD), "{problem}");
        }
    }

    #[test]
    fn package_use_is_a_file_or_a_folder_in_portages_order() {
        let lines = |root: &tempfile::TempDir| package_use(root.path()).unwrap();
        assert!(lines(&root(&[])).is_empty(), "a machine may have none");
        let text = b"# all of it\n*/* -X\n\napp-misc/waggle   greet\t-debug # as ada likes it\ndev-lang/python PYTHON_TARGETS: python3_13\n";
        assert_eq!(
            lines(&root(&[(USE, text)])),
            ["*/* -X", "app-misc/waggle greet -debug", "dev-lang/python PYTHON_TARGETS: python3_13"]
        );
        let at = |name: &str| format!("{USE}/{name}");
        let folder = root(&[
            (&at("20-late"), b"a/late x\n"),
            (&at("10-early"), b"a/early x"),
            (&at("15-more/b"), b"a/second x\n"),
            (&at("15-more/a"), b"a/first x\n"),
            (&at(".hidden"), b"no line\n"),
            (&at("._cfg0000_20-late"), b"no line\n"),
            (&at("20-late~"), b"no line\n"),
            (&at(".git/config"), b"no line\n"),
        ]);
        assert_eq!(lines(&folder), ["a/early x", "a/first x", "a/second x", "a/late x"]);
        symlink("gone", folder.path().join(USE).join("30-dangling")).unwrap();
        assert_eq!(lines(&folder).len(), 4, "Portage passes over what is not there, too");
    }

    #[test]
    fn package_use_that_cannot_be_read_or_understood_is_an_error_that_says_where() {
        for (text, line) in [
            (&b"a/b x\na/b\n"[..], "a/b"),
            (b"waggle greet\n", "waggle greet"),
            (b"app-misc/waggle gr\xc3\xa9et\n", "app-misc/waggle gréet"),
        ] {
            let problem = package_use(root(&[(USE, text)]).path()).unwrap_err();
            assert_eq!(problem.what, "a line of package.use is not understood");
            let with = problem.with.unwrap();
            assert!(with.contains(USE) && with.ends_with(&format!(": {line}")), "{with}");
        }
        let unread = package_use(root(&[(USE, b"a/b \xff\n")]).path()).unwrap_err();
        assert!(unread.what.contains(USE), "{unread:?}");

        let circle = root(&[]);
        fs_err::create_dir_all(circle.path().join("etc/portage")).unwrap();
        symlink("package.use", circle.path().join(USE)).unwrap();
        let no_folder = root(&[("etc/portage", b"")]);
        for root in [circle, no_folder] {
            let problem = package_use(root.path()).unwrap_err();
            assert!(problem.with.is_some_and(|with| with.contains(USE)), "it is not taken for none");
        }
    }

    #[test]
    fn package_use_has_a_bound() {
        let names: Vec<String> = (0..=MAX_FILES).map(|n| format!("{USE}/{n:04}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"a/b x\n"[..])).collect();
        assert_eq!(package_use(root(&files[1..]).path()).unwrap().len(), MAX_FILES);
        let problem = package_use(root(&files).path()).unwrap_err();
        assert!(problem.what.contains("more than 1000 files"), "{problem:?}");
    }
}
