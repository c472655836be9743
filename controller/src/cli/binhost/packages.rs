//! `swarm binhost list`, `pin`, `unpin`, `remove`, `gc`.

use comfy_table::Cell;
use swarm_api::{BinhostDone, BinhostPackage, BinhostPackages, CollectAnswer, CollectBody, PinBody, RemoveBody};

use super::super::client::segment;
use super::super::screen::{self, Screen};
use super::super::{Context, Problem};

/// Packages asked for at a time.
const PAGE: usize = 5_000;

/// Lists packages, all pages of them, sorted as people look for them.
pub(super) fn list(
    context: &Context,
    package: Option<String>,
    index: Option<String>,
    retired: bool,
) -> Result<(), Problem> {
    let client = context.client()?;
    let mut path = format!("/api/v1/binhost/packages?limit={PAGE}&retired={retired}");
    for (key, value) in [("package", &package), ("index", &index)] {
        if let Some(value) = value {
            // `+` in a query means a space
            path += &format!("&{key}={}", segment(value).replace('+', "%2B"));
        }
    }
    let mut all = BinhostPackages { packages: Vec::new(), total: 0, next: Some(0) };
    while let Some(after) = all.next {
        let page: BinhostPackages = client.get(&format!("{path}&after={after}"))?;
        all.packages.extend(page.packages);
        (all.total, all.next) = (page.total, page.next);
    }
    all.packages.sort_by(|one, other| {
        (&one.index, &one.package, one.build_id).cmp(&(&other.index, &other.package, other.build_id))
    });
    context.screen.show(&all, |all| table(&all.packages, &context.screen))
}

fn table(packages: &[BinhostPackage], screen: &Screen) -> String {
    if packages.is_empty() {
        return "the binhost has no such package\n".to_owned();
    }
    let one_index = packages.windows(2).all(|pair| pair[0].index == pair[1].index);
    let mut heads = vec!["ID", "PACKAGE", "BUILD", "SLOT", "USE", "SIZE", "SIGNED", "NOTES"];
    if !one_index {
        heads.push("INDEX");
    }
    let mut table = screen.table(&heads);
    for one in packages {
        let mut row = vec![
            Cell::new(one.id),
            Cell::new(&one.package),
            Cell::new(one.build_id.map_or_else(|| "-".to_owned(), |id| id.to_string())),
            Cell::new(&one.slot),
            Cell::new(screen::or_dash(Some(one.use_flags.join(" ")))),
            Cell::new(screen::size(one.size_bytes)),
            Cell::new(one.published_at.map_or_else(|| "-".to_owned(), screen::time)),
            Cell::new(screen::or_dash(Some(notes(one)))),
        ];
        if !one_index {
            row.push(Cell::new(&one.index));
        }
        table.add_row(row);
    }
    table.to_string()
}

fn notes(one: &BinhostPackage) -> String {
    let mut notes = Vec::new();
    if one.state != "published" {
        notes.push(match &one.reason {
            Some(reason) => format!("{}: {reason}", one.state),
            None => one.state.clone(),
        });
    }
    notes.extend(one.pinned_by.as_ref().map(|by| format!("pinned by {by}")));
    notes.extend(one.imported_by.as_ref().map(|by| format!("brought by {by}")));
    if one.restricted {
        notes.push("restricted".to_owned());
    }
    notes.join(", ")
}

/// Pins or unpins.
pub(super) fn pin(context: &Context, package: String, pinned: bool) -> Result<(), Problem> {
    let done: BinhostDone = context.client()?.post("/api/v1/binhost/pin", &PinBody { package, pinned })?;
    let verb = if pinned { "pinned" } else { "unpinned" };
    context.screen.show(&done, |done| told(done, verb))
}

/// Takes out.
pub(super) fn remove(context: &Context, package: String, force: bool) -> Result<(), Problem> {
    let done: BinhostDone = context.client()?.post("/api/v1/binhost/remove", &RemoveBody { package, force })?;
    context.screen.show(&done, |done| told(done, "removed"))
}

fn told(done: &BinhostDone, verb: &str) -> String {
    if done.touched == 0 {
        return "nothing to do: it is so already\n".to_owned();
    }
    let mut text: String = done.packages.iter().map(|package| format!("{verb} {package}\n")).collect();
    let more = done.touched.saturating_sub(done.packages.len() as u64);
    if more > 0 {
        text += &format!("and {more} more\n");
    }
    text
}

/// Applies retention.
pub(super) fn collect(context: &Context, dry_run: bool) -> Result<(), Problem> {
    let answer: CollectAnswer = context.client()?.post("/api/v1/binhost/gc", &CollectBody { dry_run })?;
    context.screen.show(&answer, |answer| collected(answer, &context.screen))
}

fn collected(answer: &CollectAnswer, screen: &Screen) -> String {
    let mut text = String::new();
    if answer.count > 0 {
        let mut table = screen.table(&["ID", "PACKAGE", "BUILD", "SIZE", "INDEX"]);
        for one in &answer.packages {
            table.add_row([
                Cell::new(one.id),
                Cell::new(&one.package),
                Cell::new(one.build_id),
                Cell::new(screen::size(one.size_bytes)),
                Cell::new(&one.index),
            ]);
        }
        text = format!("{table}\n");
    }
    let verb = if answer.dry_run { "would leave" } else { "leave" };
    text += &format!("{} packages, {}, {verb} the binhost\n", answer.count, screen::size(answer.size_bytes));
    if answer.waiting > 0 {
        let size = screen::size(answer.waiting_bytes);
        text += &format!("{} more, {size}, have left their index and wait to be removed\n", answer.waiting);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(id: u64, state: &str) -> BinhostPackage {
        BinhostPackage {
            id,
            index: "amd64/base/x".to_owned(),
            package: "a/b-1".to_owned(),
            build_id: Some(2),
            slot: "0".to_owned(),
            repository: "gentoo".to_owned(),
            use_flags: vec!["ssl".to_owned()],
            size_bytes: 2048,
            state: state.to_owned(),
            reason: (state == "retired").then(|| "there are 3 newer ones".to_owned()),
            published_at: None,
            pinned_by: (id == 1).then(|| "kim".to_owned()),
            imported_by: None,
            restricted: id == 2,
            path: None,
        }
    }

    #[test]
    fn a_package_says_what_is_special_about_it() {
        let text = table(&[package(1, "published"), package(2, "retired")], &Screen::default());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("NOTES") && !lines[0].contains("INDEX"), "{text}");
        assert!(
            lines[1].contains("a/b-1") && lines[1].contains("2.0 KiB") && lines[1].contains("pinned by kim"),
            "{text}"
        );
        assert!(lines[2].contains("retired: there are 3 newer ones, restricted"), "{text}");
        let two = [package(1, "published"), BinhostPackage { index: "other".to_owned(), ..package(3, "published") }];
        assert!(table(&two, &Screen::default()).contains("INDEX"));
    }

    #[test]
    fn what_was_done_is_told() {
        let done = |touched, packages: &[&str]| BinhostDone {
            status: "ok".to_owned(),
            touched,
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(told(&done(0, &[]), "pinned"), "nothing to do: it is so already\n");
        assert_eq!(told(&done(3, &["a/b-1"]), "removed"), "removed a/b-1\nand 2 more\n");
    }

    #[test]
    fn trying_says_would() {
        let mut answer = CollectAnswer {
            dry_run: true,
            count: 0,
            size_bytes: 0,
            packages: Vec::new(),
            waiting: 1,
            waiting_bytes: 1024,
        };
        let text = collected(&answer, &Screen::default());
        assert!(text.starts_with("0 packages, 0 B, would leave") && text.contains("1 more, 1.0 KiB"), "{text}");
        answer.dry_run = false;
        assert!(collected(&answer, &Screen::default()).contains(", leave the binhost"));
    }
}
